"""The order of an epoch: every image once, and groups in the set's own ratio in every batch of every process."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from linnet.randomness import permutation
from linnet.training.order import epoch_order, share

SIZES = st.tuples(st.integers(0, 120), st.integers(0, 120)).filter(lambda sizes: sum(sizes) > 0)


def flags(sizes: tuple[int, int], seed: int) -> np.ndarray:
    """So many False and so many True, mixed."""
    kinds = np.repeat([False, True], sizes)
    return kinds[permutation(len(kinds), seed, "kinds")]


@given(SIZES, st.integers(0, 5), st.integers(0, 3))
def test_every_image_once(sizes: tuple[int, int], seed: int, epoch: int) -> None:
    groups = flags(sizes, seed)
    for given_groups in (None, groups):
        order = epoch_order(len(groups), seed, epoch, given_groups)
        assert sorted(order.tolist()) == list(range(len(groups)))
        assert np.array_equal(order, epoch_order(len(groups), seed, epoch, given_groups))


def test_without_groups_it_is_the_plain_permutation() -> None:
    """The order of every run so far."""
    assert np.array_equal(epoch_order(50, 3, 7), permutation(50, 3, "order", 7))


def test_epochs_and_seeds_differ_within_each_group() -> None:
    groups = flags((40, 60), 0)
    orders = [epoch_order(100, seed, epoch, groups) for seed in (0, 1) for epoch in (0, 1)]
    for kind in (False, True):
        parts = {tuple(order[groups[order] == kind]) for order in orders}
        assert len(parts) == len(orders)


@given(SIZES, st.integers(1, 4), st.integers(1, 24), st.booleans())
def test_every_batch_of_every_process_keeps_the_ratio(
    sizes: tuple[int, int], world: int, each: int, drop_last: bool
) -> None:
    """To within one image of the set's share, tail or no tail, as the loop cuts and shares batches."""
    groups = flags(sizes, 1)
    size, batch = len(groups), min(each * world, len(groups) // world * world)
    if batch == 0:
        return
    order = epoch_order(size, 0, 0, groups)
    steps = size // batch if drop_last else -(-size // batch)
    order = order[: steps * batch]
    for rank in range(world):
        mine = share(order, batch, rank, world)
        for start in range(0, len(mine), batch // world):
            part = mine[start : start + batch // world]
            assert abs(groups[part].sum() - groups.mean() * len(part)) <= 1 + 1e-9
    if drop_last:
        assert abs(groups[order].sum() - groups.mean() * len(order)) <= 0.5 + 1e-9


@given(SIZES, st.integers(1, 4), st.integers(1, 24))
def test_processes_share_each_batch(sizes: tuple[int, int], world: int, each: int) -> None:
    """Together they see every image of the batch once; an uneven tail gives up less than one image a process."""
    order = epoch_order(sum(sizes), 0, 0)
    parts = [share(order, each * world, rank, world) for rank in range(world)] if sum(sizes) >= world else []
    if not parts:
        return
    assert len({len(part) for part in parts}) == 1
    seen = np.concatenate(parts)
    assert len(set(seen.tolist())) == len(seen) > len(order) - world
