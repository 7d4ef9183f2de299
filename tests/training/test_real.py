"""Training on real images, where LINNET_DATA names a folder of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from linnet.recipes import resolve
from linnet.training.api import train
from tests.training.tiny import tiny_manifest, tiny_recipe


def test_cifar100_from_coarse_labels_beats_chance(data_folder: Path, tmp_path: Path) -> None:
    """The CPU recipe, narrower and for two epochs: coarse and fine classes are found well above chance."""
    recipe = resolve("cifar100/cpu-pair-coins", root=str(data_folder), width=8, epochs=2, milestones=[1])
    run = train(recipe, tmp_path / "run", progress=False)
    found = run.evaluate()
    assert found.images == 1000
    assert run.summary["images"]["validation"] == 500
    assert found.figures["coarse_top1"] > found.floors["coarse_top1"] + 10
    assert found.figures["fine_recall@1"] > found.floors["fine_recall@1"] + 5
    assert found.floors["fine_recall@1"] == pytest.approx(100 * 99 / 999)


@pytest.mark.slow
def test_a_compiled_net_trains_and_opens_as_a_plain_one(tmp_path: Path) -> None:
    """Compiling changes no name in the bundle, and the figures are those of the log."""
    run = train(tiny_recipe(compile=True), tmp_path / "run", tiny_manifest(), progress=False)
    assert run.evaluate("validation").figures["coarse_top1"] == pytest.approx(run.summary["best"], abs=3)
