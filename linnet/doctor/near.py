"""All pairs of 64-bit codes that differ in few bits, without comparing each with each.

Multi-index hashing (Norouzi, Punjani and Fleet 2012): codes are cut into bands of bits. Two codes that differ in at
most r bits differ in at most r // bands of them in some band, so that only codes are compared whose band is the same
but for so many flipped bits. A pair is told once: by the first band in which it is that close.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

__all__ = ["NearPairs", "TooManyError", "near_pairs"]

Codes = NDArray[np.uint64]

_CHUNK = 1 << 18
"""Candidate pairs that are compared at once."""


class TooManyError(Exception):
    """So many codes are near each other that comparing them would take too long."""


@dataclass(frozen=True)
class NearPairs:
    """Pairs of places i < j (m,) and in how many bits their codes differ (m,)."""

    ones: NDArray[np.int64]
    others: NDArray[np.int64]
    distances: NDArray[np.uint8]


def near_pairs(codes: Codes, radius: int, bands: int = 3, most: int = 1 << 31) -> Iterator[NearPairs]:
    """Every pair of codes (n,) that differs in at most `radius` bits, once, in portions.

    Args:
        codes: uint64 (n,).
        radius: bits, 0 to 64.
        bands: into how many bands of bits codes are cut, 3 or more; it changes the time, not what is found.
        most: candidate pairs that a band may have.

    Raises:
        ValueError: fewer than 3 bands, or more than 3 bits of a band may differ: there are too many ways.
        TooManyError: a band has more candidates.
    """
    cuts = np.linspace(0, 64, bands + 1).astype(int).tolist()
    masks = [np.uint64(((1 << (end - start)) - 1) << start) for start, end in pairwise(cuts)]
    flips = radius // bands
    if flips > 3 or bands < 3:
        raise ValueError(
            f"radius {radius} in {bands} bands: need 3 bands or more, and at most 3 bits of a band may differ"
        )
    for number, (start, end) in enumerate(pairwise(cuts)):
        for ones, others in _candidates(codes, start, end - start, flips, most):
            differ = codes[ones] ^ codes[others]
            distances = np.bitwise_count(differ)
            kept = distances <= radius
            for mask in masks[:number]:
                kept &= np.bitwise_count(differ & mask) > flips
            if kept.any():
                yield NearPairs(ones[kept], others[kept], distances[kept])


def _candidates(
    codes: Codes, start: int, width: int, flips: int, most: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Pairs i < j whose bits from `start` on, `width` of them, differ in at most `flips`."""
    keys = ((codes >> np.uint64(start)) & np.uint64((1 << width) - 1)).astype(np.int32)
    order = np.argsort(keys, kind="stable").astype(np.int64)
    ranked = keys[order]
    starts = np.zeros((1 << width) + 1, np.int32)  # a table of all keys: one step a look-up
    there, occurring = np.unique(ranked, return_counts=True)
    starts[there + 1] = occurring
    np.cumsum(starts, out=starts, dtype=np.int32)
    probes = [
        sum(1 << bit for bit in bits) for n in range(min(flips, width) + 1) for bits in combinations(range(width), n)
    ]
    total = 0
    for probe in probes:
        # Asked in the order of the keys, so that neighbouring look-ups find the table in the processor's cache.
        asked = ranked ^ probe
        first = starts[asked]
        counts = starts[asked + 1] - first
        met = np.flatnonzero(counts if probe else counts - 1)
        total += int(counts[met].sum(dtype=np.int64))
        if total > most:
            raise TooManyError
        yield from _expanded(order, met, first[met], counts[met])


def _expanded(
    order: NDArray[np.int64], askers: NDArray[np.int64], first: NDArray[np.int32], counts: NDArray[np.int32]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Each asker with each of the `counts` places from `first` on, where it has the lower number."""
    ends = np.cumsum(counts, dtype=np.int64)
    at = 0
    while at < len(askers):
        # Up to _CHUNK pairs, but one asker at least.
        stop = max(at + 1, int(np.searchsorted(ends, (ends[at - 1] if at else 0) + _CHUNK, "right")))
        part = counts[at:stop]
        ones = np.repeat(order[askers[at:stop]], part)
        offsets = np.arange(len(ones)) - np.repeat(np.cumsum(part) - part, part)
        others = order[np.repeat(first[at:stop], part) + offsets]
        kept = ones < others
        yield ones[kept], others[kept]
        at = stop
