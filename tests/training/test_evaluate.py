"""The figures of a split: which there are for which labels and logits, each with its floor."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from linnet.errors import RecipeError
from linnet.metrics.recall import recall_at_k, recalls_at_k
from linnet.metrics.units import unit
from linnet.taxonomy import Taxonomy
from linnet.training import evaluate
from linnet.training.api import selection_metric
from linnet.training.data import TrainingData, prepare
from linnet.training.evaluate import Outputs, floors, measure
from tests.training.tiny import tiny_manifest, tiny_recipe

BY_HIERARCHY = {
    *("mistake_severity", "hierarchical_distance@1", "hierarchical_distance@5", "hierarchical_distance@20"),
    *("fine_top1_nonsingleton", "coarse_top1_implied", "level_consistency"),
}


def tiny(**settings: Any) -> TrainingData:
    return prepare(tiny_recipe(**settings), tiny_manifest())


def said(count: int, *, coarse: bool = True, fine: bool = True) -> Outputs:
    """Random answers for so many images."""
    draw = torch.Generator().manual_seed(0)
    sizes = (8, 6 if coarse else 0, 24 if fine else 0)
    embedding, *logits = (torch.randn(count, size, generator=draw) if size else None for size in sizes)
    assert embedding is not None
    return Outputs(embedding, *logits)


def test_a_method_that_names_fine_classes_is_measured_by_the_hierarchy() -> None:
    """Every figure but the effective rank has a floor, and random answers are near it."""
    data = tiny()
    rows = data.rows["train"]
    figures, chance = measure(data, rows, said(len(rows)), (1, 2)), floors(data, rows, (1, 2))
    assert figures.keys() - chance.keys() == {"effective_rank"}
    assert figures.keys() >= BY_HIERARCHY
    for name in BY_HIERARCHY:
        assert figures[name] == pytest.approx(chance[name], abs=20 if unit(name) == "%" else 0.2)
    assert chance["mistake_severity"] == pytest.approx((3 * 1 + 20 * 2) / 23)
    assert chance["coarse_top1_implied"] == chance["level_consistency"] == pytest.approx(100 / 6)


def test_consistency_needs_both_kinds_of_logits_and_the_rest_fine_ones() -> None:
    data = tiny()
    rows = data.rows["test"]
    assert not measure(data, rows, said(len(rows), fine=False), (1,)).keys() & BY_HIERARCHY
    found = measure(data, rows, said(len(rows), coarse=False), (1,)).keys() & BY_HIERARCHY
    assert found == BY_HIERARCHY - {"level_consistency"}


def test_images_with_coarse_labels_only_count_where_they_can() -> None:
    """Half the rows lose their fine label: fine figures are of the others, coarse ones of all."""
    targets = tiny_manifest().targets.copy()
    targets[::2, 1] = -1
    data = prepare(tiny_recipe(), replace(tiny_manifest(), targets=targets))
    rows = data.rows["test"]
    answers = said(len(rows))
    known = targets[rows, 1] >= 0
    part = Outputs(*(answer[torch.from_numpy(known)] for answer in vars(answers).values()))
    whole, half = measure(data, rows, answers, (1,)), measure(data, rows[known], part, (1,))
    assert all(whole[name] == half[name] for name in ("fine_top1", "mistake_severity", "fine_top1_nonsingleton"))
    assert whole["coarse_top1_implied"] != half["coarse_top1_implied"]
    blank = prepare(tiny_recipe(), replace(data.manifest, targets=np.where([[True, False]], targets, -1)))
    left = measure(blank, rows, answers, (1,)).keys() & BY_HIERARCHY
    assert left == {"coarse_top1_implied", "level_consistency"} == floors(blank, rows, (1,)).keys() & BY_HIERARCHY


def test_recalls_are_counted_in_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """And are those of a pass for each."""
    data = tiny()
    rows = data.rows["test"]
    answers, passes = said(len(rows)), []

    def counted(*given: Any) -> dict[str, dict[int, float]]:
        passes.append(given)
        return recalls_at_k(*given)

    monkeypatch.setattr(evaluate, "recalls_at_k", counted)
    figures = measure(data, rows, answers, (1, 2))
    assert len(passes) == 1
    coarse, fine = torch.from_numpy(data.manifest.targets[rows]).unbind(1)
    for k in (1, 2):
        assert figures[f"coarse_recall@{k}"] == recall_at_k(answers.embedding, coarse, (k,))[k]
        assert figures[f"fine_recall@{k}"] == recall_at_k(answers.embedding, fine, (k,))[k]
        assert figures[f"fine_recall@{k}_within"] == recall_at_k(answers.embedding, fine, (k,), within=coarse)[k]


def test_one_level_has_no_hierarchy_to_measure_by() -> None:
    data = tiny(coarse="fine")
    rows = data.rows["test"]
    figures = measure(data, rows, replace(said(len(rows)), coarse_logits=None), (1,))
    assert not figures.keys() & BY_HIERARCHY
    assert not floors(data, rows, (1,)).keys() & BY_HIERARCHY


def test_an_epoch_is_not_chosen_by_what_should_be_low() -> None:
    """The loop keeps the highest figure."""
    for chosen in ("mistake_severity", "hierarchical_distance@5"):
        with pytest.raises(RecipeError, match="cannot be had"):
            selection_metric(tiny_recipe(method="fine", select_by=chosen), tiny(method="fine"))
    chosen = "fine_top1_nonsingleton"
    assert selection_metric(tiny_recipe(method="fine", select_by=chosen), tiny(method="fine")) == chosen


def test_a_split_without_the_labels_that_select_is_named() -> None:
    data = tiny(method="min-pool", options={})
    targets = data.manifest.targets.copy()
    targets[data.rows["validation"], 1] = -1
    blank = replace(data, manifest=replace(data.manifest, targets=targets))
    with pytest.raises(RecipeError, match=r"none of the \d+ validation images has a fine label: label some"):
        selection_metric(tiny_recipe(method="min-pool", options={}), blank)


OWN = {
    *("fine_top1_open", "fine_top5_open", "fine_top1_restricted", "fine_top5_restricted", "fine_top1_oracle_coarse"),
    *("fine_top1_uniform_child", "fine_top1_largest_child"),
    *("fine_top1_restricted_nonsingleton", "fine_top1_oracle_coarse_nonsingleton"),
}


def families(right: float) -> tuple[TrainingData, np.ndarray, Outputs]:
    """Creatures with three birds left of four and one fox; coarse logits right for a share, fine ones random."""
    manifest = tiny_manifest()
    names = manifest.taxonomy.classes[1]
    gone = [names.index(name) for name in ("barred_fox", "crossed_fox", "dotted_fox", "ringed_bird")]
    keep = ~np.isin(manifest.targets[:, 1], gone)
    taxonomy = Taxonomy(
        manifest.taxonomy.levels,
        (manifest.taxonomy.classes[0], tuple(name for number, name in enumerate(names) if number not in gone)),
        ((), tuple(p for number, p in enumerate(manifest.taxonomy.parents[1]) if number not in gone)),
    )
    part = manifest.select(np.flatnonzero(keep))
    fine = np.searchsorted(np.setdiff1d(np.arange(24), gone), part.targets[:, 1])
    targets = np.stack([part.targets[:, 0], fine], axis=1)
    data = prepare(tiny_recipe(), replace(part, taxonomy=taxonomy, targets=targets))
    rows, draw = data.rows["test"], torch.Generator().manual_seed(0)
    coarse = torch.from_numpy(targets[rows, 0]).clone()
    wrong = torch.arange(len(rows)) >= right * len(rows)
    coarse[wrong] = (coarse[wrong] + 1) % 6
    logits = torch.nn.functional.one_hot(coarse, 6).float()
    return data, rows, Outputs(logits, logits, torch.randn(len(rows), 20, generator=draw))


def test_restricted_figures_stand_beside_what_the_coarse_class_alone_gives() -> None:
    """The coarse class is always right; 19 of 20 classes have siblings, three of them two and 16 three."""
    data, rows, answers = families(right=1.0)
    figures, chance = measure(data, rows, answers, (1,)), floors(data, rows, (1,), answers)
    assert figures.keys() >= OWN and chance.keys() >= OWN
    assert figures["fine_top1_restricted"] == figures["fine_top1_oracle_coarse"]
    assert figures["fine_top5_restricted"] == chance["fine_top5_restricted"] == 100  # no family has more than four
    uniform = 100 * (16 / 4 + 3 / 3 + 1) / 20
    assert chance["fine_top1_restricted"] == figures["fine_top1_uniform_child"] == pytest.approx(uniform)
    assert chance["fine_top1_oracle_coarse"] == pytest.approx(uniform)
    assert chance["fine_top1_nonsingleton"] == pytest.approx(100 * (16 / 4 + 3 / 3) / 19)
    assert chance["fine_top1_open"] == chance["fine_top1"] == 5
    assert figures["fine_top1_open"] == figures["fine_top1"]


def test_floors_follow_how_often_the_coarse_class_is_right() -> None:
    data, rows, answers = families(right=0.5)
    figures, chance = measure(data, rows, answers, (1,)), floors(data, rows, (1,), answers)
    assert figures["coarse_top1"] == 50
    assert chance["fine_top5_restricted"] == figures["fine_top5_restricted"] == 50
    assert figures["fine_top1_restricted"] < figures["fine_top1_oracle_coarse"]
    guessed = floors(data, rows, (1,))  # nothing said: a coarse class of six is guessed
    assert guessed["fine_top5_restricted"] == pytest.approx(100 / 6)
    assert guessed["fine_top1_nonsingleton"] == 5  # of a method that names fine classes alone


def test_a_method_without_coarse_logits_has_no_restricted_figures() -> None:
    data, rows, answers = families(right=1.0)
    assert not measure(data, rows, replace(answers, coarse_logits=None), (1,)).keys() & OWN
    blank = replace(data.manifest, targets=np.where([[True, False]], data.manifest.targets, -1))
    unlabelled = prepare(tiny_recipe(), blank)
    assert not measure(unlabelled, rows, answers, (1,)).keys() & OWN
    assert not floors(unlabelled, rows, (1,), answers).keys() & OWN
