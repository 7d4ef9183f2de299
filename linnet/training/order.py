"""The order of an epoch's images, by key; with groups, every batch holds them in the set's own ratio."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from linnet.randomness import permutation

__all__ = ["epoch_order", "share"]


def epoch_order(
    size: int, seed: int, epoch: int, groups: NDArray[np.bool_] | NDArray[np.integer] | None = None
) -> NDArray[np.int64]:
    """A permutation of 0..size-1, int64 (size,), a function of seed and epoch alone.

    With `groups` (size,) each group is permuted by itself, and the i-th of a group's n images stands at the relative
    position (i + 1/2) / n. Of two groups, any stretch of the order then holds the ratio of the whole set to less than
    one image, whatever the batch size, the number of processes and the part that is dropped at the end (paper 002,
    section IV: batches keep the ratio of fine to coarse labels).
    """
    if groups is None:
        return permutation(size, seed, "order", epoch)
    parts, places = [], []
    for group in np.unique(groups).tolist():
        members = np.flatnonzero(groups == group)
        parts.append(members[permutation(len(members), seed, "order", epoch, int(group))])
        places.append((np.arange(len(members)) + 0.5) / len(members))
    merged: NDArray[np.int64] = np.concatenate(parts)[np.argsort(np.concatenate(places), kind="stable")]
    return merged


def share(order: NDArray[np.int64], batch: int, rank: int, world: int) -> NDArray[np.int64]:
    """Rank r's part of each batch; an uneven last batch gives up its remainder, so that all ranks step together."""
    starts = range(0, len(order), batch)
    whole = [order[start : start + batch] for start in starts]
    even = [part[: len(part) // world * world] for part in whole]
    return np.concatenate([part.reshape(world, -1)[rank] for part in even])
