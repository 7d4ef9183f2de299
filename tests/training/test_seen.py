"""Some fine classes with labels, others with a description only: the draw, what is hidden, and the figures."""

from __future__ import annotations

from dataclasses import replace
from math import ceil, floor
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from linnet.errors import RecipeError
from linnet.methods.base import Need, Task
from linnet.taxonomy import Taxonomy
from linnet.training.data import TrainingData, available, prepare
from linnet.training.evaluate import Outputs, floors, measure
from linnet.training.seen import draw_seen, seen_figures
from tests.training.tiny import tiny_manifest, tiny_recipe


def tree(counts: list[int], order: int = 1) -> Taxonomy:
    """So many children under each coarse class; `order` -1 lists the classes from the other end."""
    coarse = tuple(f"c{number}" for number in range(len(counts)))[::order]
    pairs = [(f"c{c}-{n}", f"c{c}") for c, count in enumerate(counts) for n in range(count)][::order]
    fine = tuple(name for name, _ in pairs)
    return Taxonomy(("coarse", "fine"), (coarse, fine), ((), tuple(coarse.index(parent) for _, parent in pairs)))


@given(st.lists(st.integers(1, 7), min_size=1, max_size=8), st.floats(0.01, 0.99), st.integers(0, 9))
def test_every_coarse_class_gives_its_share(counts: list[int], share: float, seed: int) -> None:
    """Rounded up or down, in each and in all; and the names drawn do not hang on the order of classes."""
    one, other = tree(counts), tree(counts, -1)
    seen = draw_seen(one, 0, 1, share, seed)
    for coarse in range(len(counts)):
        children = one.candidates(coarse)
        assert floor(share * len(children) - 1e-9) <= seen[children].sum() <= ceil(share * len(children) + 1e-9)
    assert floor(share * sum(counts) - 1e-9) <= seen.sum() <= ceil(share * sum(counts) + 1e-9)
    again = draw_seen(other, 0, 1, share, seed)
    assert {one.classes[1][n] for n in np.flatnonzero(seen)} == {other.classes[1][n] for n in np.flatnonzero(again)}


def part(**settings: Any) -> TrainingData:
    return prepare(tiny_recipe(**{"select_on": "last"} | settings), tiny_manifest())


def test_labels_of_unseen_classes_are_hidden_where_a_net_learns_or_is_chosen() -> None:
    data, whole = part(seen=0.5, seed=2), tiny_manifest()
    assert data.seen is not None and data.seen.sum() == 12
    for split in ("train", "validation", "test"):
        rows = data.rows[split]
        now, then = data.manifest.targets[rows], whole.targets[rows]
        assert (now[:, 0] == then[:, 0]).all()
        shown = np.ones(len(rows), dtype=np.bool_) if split == "test" else data.seen[then[:, 1]]
        assert np.array_equal(now[:, 1], np.where(shown, then[:, 1], -1))
    assert Need.SOME_FINE in available(data) and Need.ALL_FINE not in available(data)
    assert part(seen=0.5, seed=3).seen is not None and not np.array_equal(part(seen=0.5, seed=3).seen, data.seen)


def test_classes_can_be_named_and_a_share_of_their_labels_drawn() -> None:
    names = ("ringed_fox", "barred_bird")
    data = part(seen_classes=list(names), validation=0, label_fraction=0.5)
    assert data.seen is not None
    assert {data.manifest.taxonomy.classes[1][number] for number in np.flatnonzero(data.seen)} == set(names)
    assert data.fine_known("train").sum() == 2 * 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seen_classes": ["ringed_fix"]}, "'ringed_fix' is no class of level 'fine'; did you mean 'ringed_fox'"),
        ({"seen_classes": list(tiny_manifest().taxonomy.classes[1])}, "24 of 24 fine classes would have labels"),
        ({"seen": 0.01, "classes": ["fox"]}, "0 of 4 fine classes would have labels"),
        ({"seen": 0.5, "coarse": "fine"}, "'fine' is the one level there is"),
        ({"seen": 0.5, "seen_classes": ["ringed_fox"]}, "give one of them"),
        ({"seen": 1.0}, "seen = 1"),
    ],
)
def test_what_cannot_be_is_told(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        part(**settings)


def harmonic(logits: list[list[float]], labels: list[int], seen: list[bool]) -> tuple[float, float, float]:
    """One image at a time."""
    hits: dict[bool, list[bool]] = {True: [], False: []}
    for row, truth in zip(logits, labels, strict=True):
        if truth >= 0:
            hits[seen[truth]].append(all(row[f] < row[truth] for f in range(len(row)) if f != truth))
    s, u = (100 * sum(hits[kind]) / len(hits[kind]) for kind in (True, False))
    return s, u, 2 / (1 / s + 1 / u) if s and u else 0.0


@given(
    st.lists(st.tuples(st.integers(-1, 3), *[st.sampled_from([0.0, 1.0, 2.0])] * 4), max_size=12).map(
        lambda rows: [(0, 3.0, 0, 0, 0), (2, 0.0, 0, 0, 0), *rows]
    )
)
def test_figures_equal_one_image_at_a_time(rows: list[tuple[float, ...]]) -> None:
    labels, logits, seen = [int(row[0]) for row in rows], [list(row[1:]) for row in rows], [True, True, False, False]
    found = seen_figures(torch.tensor(logits, dtype=torch.float32), torch.tensor(labels), np.array(seen))
    assert tuple(found) == ("fine_top1_seen", "fine_top1_unseen", "fine_top1_harmonic")
    assert tuple(found.values()) == pytest.approx(harmonic(logits, labels, seen))


def test_an_evaluation_shows_both_kinds_with_their_floors() -> None:
    data = part(seen=0.5)
    rows = data.rows["test"]
    perfect = torch.nn.functional.one_hot(torch.from_numpy(data.manifest.targets[rows, 1]), 24).float()
    assert data.seen is not None
    biased = perfect + 2 * torch.from_numpy(data.seen)  # every seen class before every unseen one
    for logits, expected in ((perfect, (100, 100, 100)), (biased, (100, 0, 0))):
        said = Outputs(logits, None, logits)
        figures, chance = measure(data, rows, said, (1,)), floors(data, rows, (1,), said)
        names = ("fine_top1_seen", "fine_top1_unseen", "fine_top1_harmonic")
        assert tuple(figures[name] for name in names) == expected
        assert all(chance[name] == pytest.approx(100 / 24) for name in names)
    # Validation images of unseen classes have no label to be measured by.
    kept = data.rows["validation"]
    blank = torch.zeros(len(kept), 24)
    for found in (measure(data, kept, Outputs(blank, None, blank), (1,)), floors(data, kept, (1,))):
        assert "fine_top1_seen" in found and "fine_top1_unseen" not in found and "fine_top1_harmonic" not in found
    plain = part()
    assert not any("seen" in name for name in measure(plain, rows, Outputs(perfect, None, perfect), (1,)))


def test_a_method_is_told_which_labels_it_may_use() -> None:
    targets = torch.tensor([[0, 2], [0, 1], [0, -1]])
    task = part(seen=0.5).task()
    assert task.seen.dtype == torch.bool and task.seen.shape == (24,)
    few = replace(task, seen=torch.tensor([False, False, True]))
    assert few.seen_labels(targets).tolist() == [2, -1, -1]
    assert Task(task.membership).seen_labels(targets).tolist() == [-1, -1, -1]
