"""Fine labels on a part: shares, nesting, and a validation share that knows no more than training does."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linnet.errors import ManifestError, RecipeError
from linnet.manifest import Manifest
from linnet.taxonomy import Taxonomy
from linnet.training.data import TrainingData, prepare
from linnet.training.part_labels import carve, draw_labels
from tests.training.tiny import tiny_manifest, tiny_recipe


def part(**settings: Any) -> TrainingData:
    return prepare(tiny_recipe(**{"select_on": "last"} | settings), tiny_manifest())


def labelled(data: TrainingData, split: str = "train") -> set[int]:
    return set(data.rows[split][data.fine_known(split)].tolist())


def per_class(rows: set[int]) -> Counter[int]:
    return Counter(tiny_manifest().targets[sorted(rows), -1].tolist())


def test_each_class_shows_its_share_and_the_rest_keeps_coarse_labels() -> None:
    """2 of 8 images of each of 24 classes; nobody loses a coarse label, and test rows lose nothing."""
    data = part(label_fraction=0.25, validation=0)
    assert set(per_class(labelled(data)).values()) == {2}
    assert len(data.rows["train"]) == 24 * 8
    assert (data.manifest.targets[:, data.coarse] == tiny_manifest().targets[:, data.coarse]).all()
    assert (data.manifest.targets[data.rows["test"]] == tiny_manifest().targets[data.rows["test"]]).all()
    assert (tiny_manifest().targets >= 0).all()  # the manifest given is not touched


@pytest.mark.parametrize("seed", [0, 7])
def test_labels_at_a_smaller_share_are_among_those_at_a_larger(seed: int) -> None:
    """And the images with coarse labels only are nested likewise, from the other end."""
    shares = (0.1, 0.25, 0.5, 0.75, 1.0)
    fine = [labelled(part(label_fraction=share, validation=0, seed=seed)) for share in shares]
    assert all(fewer < more for fewer, more in pairwise(fine))
    drawn = [part(label_fraction=0.25, coarse_fraction=share, validation=0, seed=seed) for share in (0.25, 0.5, 0.75)]
    coarse = [set(data.rows["train"].tolist()) - labelled(data) for data in drawn]
    assert coarse[0] < coarse[1] < coarse[2]
    assert labelled(drawn[0]) == labelled(drawn[2]) == fine[1]


def test_another_seed_draws_others() -> None:
    assert labelled(part(label_fraction=0.25, seed=0)) != labelled(part(label_fraction=0.25, seed=1))


def test_shares_fixed_apart_leave_images_out() -> None:
    """|S_fine| = |S| / 4 and |S_coarse| = |S| / 2: a quarter is not used (the grids of paper 002)."""
    data = part(label_fraction=0.25, coarse_fraction=0.5, validation=0)
    assert (len(labelled(data)), len(data.rows["train"])) == (24 * 2, 24 * 6)
    none = part(label_fraction=0.25, coarse_fraction=0.0, validation=0)
    assert (len(labelled(none)), len(none.rows["train"])) == (24 * 2, 24 * 2)


def test_a_class_keeps_one_fine_label_in_training() -> None:
    """However small the share, and after validation has had its part."""
    for share in (0.001, 0.25):
        data = part(label_fraction=share, validation=0.4)
        assert set(per_class(labelled(data))) == set(range(24))


def test_validation_has_fine_labels_in_the_share_of_training() -> None:
    """One in four of either split; never an image whose label was hidden."""
    data = part(label_fraction=0.25, validation=0.25)
    shares = {name: data.fine_known(name).mean() for name in ("train", "validation")}
    assert shares["validation"] == pytest.approx(0.25, abs=0.02)
    assert shares["train"] == pytest.approx(0.25, abs=0.02)
    assert labelled(data, "train") | labelled(data, "validation") == labelled(part(label_fraction=0.25, validation=0))


def test_a_validation_split_of_the_data_is_drawn_from_too() -> None:
    """Else an epoch would be chosen by labels that training may not see."""
    manifest = tiny_manifest()
    named = replace(manifest, split_names=tuple("validation" if n == "test" else n for n in manifest.split_names))
    data = prepare(tiny_recipe(label_fraction=0.25), named)
    assert not data.carved
    assert data.fine_known("validation").mean() == pytest.approx(0.25)


def test_labelled_only_is_the_labelled_part_of_the_same_splits() -> None:
    """So the baseline row learns from, and is chosen on, what the other rows have fine labels for."""
    both, alone = part(label_fraction=0.25), part(label_fraction=0.25, labelled_only=True, method="fine")
    for split in ("train", "validation"):
        assert set(alone.rows[split].tolist()) == labelled(both, split)
    assert np.array_equal(alone.rows["test"], both.rows["test"])


def test_all_labels_leave_everything_as_it_is() -> None:
    """A share of 1 draws the same splits as no share at all, and the same fingerprint."""
    whole, told = part(), part(label_fraction=1.0)
    assert whole.manifest.fingerprint == told.manifest.fingerprint
    assert all(np.array_equal(whole.rows[name], told.rows[name]) for name in whole.rows)
    assert part(label_fraction=0.5).manifest.fingerprint != whole.manifest.fingerprint


def test_names_decide_which_labels_show() -> None:
    """Other class numbers, the same images."""
    manifest = tiny_manifest()
    only = manifest.taxonomy.classes[0][2:4]
    rows = np.flatnonzero(np.isin(manifest.targets[:, 0], (2, 3)))
    some = prepare(tiny_recipe(classes=list(only), label_fraction=0.25, validation=0, select_on="last"), manifest)
    whole = labelled(part(label_fraction=0.25, validation=0))
    assert {int(rows[row]) for row in labelled(some)} == whole & set(rows.tolist())


@pytest.mark.parametrize(("coarse", "shown"), [("group", 1), ("kind", 2)])
def test_levels_between_are_hidden_with_the_fine_label(coarse: str, shown: int) -> None:
    """An image without its fine label is known down to the coarse level, however many levels there are."""
    old = tiny_manifest()
    halves = tuple(int(number >= len(old.taxonomy.classes[0]) // 2) for number in range(len(old.taxonomy.classes[0])))
    tree = Taxonomy(
        ("group", "kind", "fine"),
        (("one", "two"), *old.taxonomy.classes),
        ((), halves, old.taxonomy.parents[1]),
    )
    targets = np.column_stack([np.array(halves)[old.targets[:, 0]], old.targets])
    manifest = replace(old, taxonomy=tree, targets=targets)
    recipe = tiny_recipe(method="any-level", coarse=coarse, label_fraction=0.25, validation=0, select_on="last")
    data = prepare(recipe, manifest)
    known = data.manifest.targets >= 0
    hidden = np.setdiff1d(data.rows["train"], sorted(labelled(data)))
    assert len(hidden) == 24 * 6
    assert (known[hidden].sum(1) == shown).all()
    assert known[:, : data.coarse + 1].all() and known[sorted(labelled(data))].all()


def test_one_level_has_nothing_to_fall_back_on() -> None:
    with pytest.raises(RecipeError, match=r"label_fraction = 0\.5 leaves some images with a coarse label only.*coarse"):
        part(label_fraction=0.5, coarse="coarse", fine="coarse")
    blank = replace(tiny_manifest(), targets=np.where([[True, False]], tiny_manifest().targets, -1))
    with pytest.raises(ManifestError, match="labelled_only = true, but no training image has a fine label"):
        prepare(tiny_recipe(labelled_only=True), blank)


@given(
    st.lists(st.integers(-1, 3), min_size=1, max_size=60),
    st.floats(0.01, 0.7),
    st.floats(0, 0.3),
    st.integers(0, 5),
)
def test_drawn_rows(labels: list[int], share: float, coarse_share: float, seed: int) -> None:
    """Whatever the classes: counts by class, no row in two parts, unlabelled rows not drawn from."""
    manifest = small(labels)
    rows = np.arange(len(labels))
    hidden, unused = draw_labels(manifest, rows, 1, share, coarse_share, seed)
    assert not set(hidden) & set(unused)
    given = np.array(labels)
    assert (given[hidden] >= 0).all() and (given[unused] >= 0).all()
    for label in set(labels) - {-1}:
        count = labels.count(label)
        fine = max(1, round(share * count))
        coarse = min(count - fine, round(coarse_share * count))
        assert ((given[hidden] == label).sum(), (given[unused] == label).sum()) == (coarse, count - fine - coarse)


@given(
    st.lists(st.tuples(st.integers(-1, 2), st.integers(-1, 2)), min_size=2, max_size=80),
    st.floats(0.05, 0.9),
    st.integers(0, 3),
)
def test_carved_rows(pairs: list[tuple[int, int]], share: float, seed: int) -> None:
    """A partition; every coarse class and every fine class that was there is still there to learn from."""
    coarse = np.array([c for c, _ in pairs])
    fine = np.array([3 * c + f if c >= 0 and f >= 0 else -1 for c, f in pairs])
    targets, rows = np.stack([coarse, fine], axis=1), np.arange(len(pairs))
    train, held = carve(targets, rows, 0, 1, share, seed)
    assert sorted([*train, *held]) == rows.tolist()
    assert set(coarse[train]) == set(coarse)
    known = fine >= 0
    if known.any() and not known.all():
        assert set(fine[train]) >= set(fine) - {-1}
    for label in set(coarse.tolist()):
        assert (coarse[held] == label).sum() <= round(share * (coarse == label).sum()) + 1


def small(labels: list[int]) -> Manifest:
    """Rows of one coarse class with these fine labels."""
    manifest = tiny_manifest().select(np.zeros(len(labels), dtype=np.int64))
    return replace(manifest, targets=np.stack([np.zeros(len(labels), np.int64), np.array(labels)], axis=1))
