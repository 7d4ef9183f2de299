"""The nearest training image with its fine label: the ceiling beside methods that learn from descriptions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from linnet.attributes import write_attributes
from linnet.backbones import build_backbone
from linnet.datasets.creatures import write_folder
from linnet.methods.base import Method
from linnet.training.api import train
from linnet.training.ceiling import METRIC, Pooled, nearest_neighbour
from linnet.training.data import TrainingData, prepare
from linnet.training.evaluate import Outputs
from linnet.training.run import Run
from tests.training.tiny import tiny_manifest, tiny_recipe


def case() -> tuple[TrainingData, Method, torch.Tensor]:
    """Prepared creatures, a net, and four features for each row of the manifest: its class's own, and noise."""
    data = prepare(tiny_recipe(), tiny_manifest())
    draw = torch.Generator().manual_seed(0)
    fine = torch.from_numpy(data.manifest.targets[:, 1])
    features = torch.randn(24, 4, generator=draw)[fine] + 0.4 * torch.randn(len(fine), 4, generator=draw)
    return data, Pooled(build_backbone("cifar-resnet10", width=4), data.task()), features


def test_equal_to_a_search_one_by_one() -> None:
    data, method, features = case()
    rows = data.rows["test"]

    def said(asked: Method, its: np.ndarray) -> Outputs:
        assert isinstance(asked, Pooled) and asked.backbone is method.backbone
        return Outputs(features[torch.from_numpy(its)], None, None)

    unit, labels, train_rows = torch.nn.functional.normalize(features), data.manifest.targets[:, 1], data.rows["train"]
    hits = [labels[max(train_rows, key=lambda t, q=q: float(unit[t] @ unit[q]))] == labels[q] for q in rows]
    found = nearest_neighbour(method, data, rows, said)
    assert found is not None and found[0] == pytest.approx(100 * np.mean(hits)) and found[0] > 20
    share = np.bincount(labels[train_rows])[labels[rows]] / len(train_rows)
    assert found[1] == pytest.approx(100 * share.mean())


def test_images_without_a_fine_label_are_no_neighbours_and_a_class_without_any_leaves_no_ceiling() -> None:
    data, method, features = case()
    rows, targets = data.rows["test"], data.manifest.targets.copy()
    targets[data.rows["train"][::2], 1] = -1
    part = replace(data, manifest=replace(data.manifest, targets=targets))
    asked: list[np.ndarray] = []

    def said(_: Method, its: np.ndarray) -> Outputs:
        asked.append(its)
        return Outputs(features[torch.from_numpy(its)], None, None)

    assert nearest_neighbour(method, part, rows, said) is not None
    assert (targets[asked[0], 1] >= 0).all() and len(asked[0]) == len(data.rows["train"]) // 2 + len(rows)
    targets[np.intersect1d(np.flatnonzero(targets[:, 1] == 3), data.rows["train"]), 1] = -1
    assert nearest_neighbour(method, part, rows, said) is None
    assert nearest_neighbour(method, replace(data, coarse=1), rows, said) is None


def test_it_stands_beside_methods_that_learn_from_descriptions(tmp_path: Path) -> None:
    recipe = tiny_recipe(method="ridge", options={"strengths": [1.0]})
    found = train(recipe, tmp_path / "described", tiny_manifest(), progress=False).evaluate()
    assert found.floors[METRIC] == pytest.approx(100 / 24, abs=1) and 0 < found.figures[METRIC] <= 100
    assert {"fine_top1_restricted", "fine_top1_largest_child", "fine_top1_oracle_coarse"} <= found.figures.keys()


def test_a_table_of_descriptions_is_found_again_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was named from the folder that training ran in."""
    manifest = tiny_manifest()
    assert manifest.attributes is not None
    write_folder(tmp_path / "photos", size=16, train_per_class=8, test_per_class=4)
    write_attributes(manifest.attributes, tmp_path / "creatures.npy")
    monkeypatch.chdir(tmp_path)
    recipe = tiny_recipe(data="photos", attributes="creatures.npy", method="ridge", options={"strengths": [1.0]})
    found = train(recipe, "run", progress=False).evaluate()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert Run.open("../run").evaluate().figures == found.figures
