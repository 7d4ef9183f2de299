"""The laws of naming, merging, splitting and moving."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linnet.discover import Discovery, Settings, discover, merge, move, rename, split
from linnet.errors import RunError, TaxonomyError
from tests.discover.planted import planted

FOUND = discover(planted((4, 2), spread=1.0), Settings(clusters="true", repeats=2))
NUMBERS = st.integers(0, 3)


def same(one: Discovery, other: Discovery) -> bool:
    told = [[(each.number, each.name) for each in there] for there in one.clusters]
    return np.array_equal(one.cluster, other.cluster) and told == [
        [(each.number, each.name) for each in there] for there in other.clusters
    ]


@given(NUMBERS, st.sampled_from(["junco", "tern", ""]), st.sampled_from(["wren", ""]))
def test_the_last_name_counts_and_nothing_else_changes(number: int, first: str, last: str) -> None:
    once = rename(FOUND, 0, number, last)
    assert same(rename(rename(FOUND, 0, number, first), 0, number, last), once)
    assert np.array_equal(once.cluster, FOUND.cluster) and once.clusters[1] == FOUND.clusters[1]
    assert same(rename(once, 0, number, ""), FOUND)
    assert rename(once, 0, number, f" {last} ") is once, "no step for the desk"


@given(NUMBERS)
def test_merging_undoes_splitting(number: int) -> None:
    named = rename(FOUND, 0, number, "tern")
    parts = split(named, 0, number)
    assert len(parts.clusters[0]) == 5 and parts.get(0, number).name == "tern" and parts.get(0, 4).name == ""
    assert len(parts.members(0, number)) >= len(parts.members(0, 4)) > 0
    assert same(merge(parts, 0, [4, number]), named)
    assert parts.clusters[1] == FOUND.clusters[1]


@given(st.permutations(range(4)))
def test_the_order_of_merging_does_not_count(order: list[int]) -> None:
    a, b, c, _ = order
    step = merge(FOUND, "0", [a, b])
    assert same(merge(step, 0, [min(a, b), c]), merge(FOUND, 0, [c, b, a]))
    assert step.get(0, min(a, b)).stability is None
    assert set(step.members(0, min(a, b))) == {*FOUND.members(0, a), *FOUND.members(0, b)}


@given(st.lists(st.integers(0, 119), min_size=1, max_size=8), st.sampled_from([-1, 0, 1, 2, 3, None]))
def test_moved_images_are_where_they_were_put(places: list[int], number: int | None) -> None:
    moved = move(FOUND, places, number)
    target = 4 if number is None else number
    assert (moved.cluster[places] == target).all()
    rest = np.setdiff1d(np.arange(len(FOUND)), places)
    assert np.array_equal(moved.cluster[rest], FOUND.cluster[rest])
    assert same(move(moved, places, target), moved)
    assert moved.strength.shape == (180,) and np.isfinite(moved.strength).all()


def test_a_cluster_without_images_goes_and_the_others_keep_their_numbers() -> None:
    moved = move(FOUND, FOUND.members(0, 1).tolist(), -1)
    assert [each.number for each in moved.clusters[0]] == [0, 2, 3]
    assert (moved.strength[moved.members(0, -1)] == 0).all()
    back = move(moved, moved.members(0, -1).tolist(), None)
    assert [each.number for each in back.clusters[0]] == [0, 2, 3, 4]


def test_mistakes() -> None:
    for wrong, part in [
        (lambda: rename(FOUND, 0, 9, "x"), "has no cluster 9; its clusters: 0, 1, 2, 3"),
        (lambda: rename(FOUND, 0, 1, "a\nb"), "control characters"),
        (lambda: merge(FOUND, 0, [1, 1]), "two clusters or more"),
        (lambda: merge(rename(rename(FOUND, 0, 0, "a"), 0, 1, "b"), 0, [0, 1]), "say what the whole is called"),
        (lambda: move(FOUND, [], 1), "0 images to move"),
        (lambda: move(FOUND, [0, 179], 1), "several coarse classes"),
        (lambda: move(FOUND, [0], 7), "no cluster 7"),
    ]:
        with pytest.raises(RunError, match=part):
            wrong()
    with pytest.raises(TaxonomyError, match="no coarse class 'nought'"):
        merge(FOUND, "nought", [0, 1])
    whole = merge(rename(rename(FOUND, 0, 0, "a"), 0, 1, "b"), 0, [0, 1], "c")
    assert whole.get(0, 0).name == "c"
