"""Counting the negatives that stand before each query's best positive, tile by tile."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from linnet.metrics.positives import Labels
from linnet.metrics.tiles import Tiles, few

__all__ = ["MISS", "Side", "Tally"]

MISS = torch.iinfo(torch.int64).max  # the rank of a query that has no positive
_NOTED = 2**16  # pairs noted, before the sure ones are counted
_WAITING = 2**19  # pairs in doubt, before they are decided


@dataclass(frozen=True)
class Side:
    """Which rows a tile compares; `flipped` where its columns are the queries."""

    queries: slice
    gallery: slice
    flipped: bool

    @property
    def across(self) -> tuple[slice | None, ...]:
        """Index that lays one number a query along a tile's queries."""
        return (slice(None),) if self.flipped else (slice(None), None)

    def pairs(self, row: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
        """Queries and gallery rows of a tile's entries."""
        i, j = (column, row) if self.flipped else (row, column)
        return i + self.queries.start, j + self.gallery.start


class Tally:
    """Counts of one labelling so far: what is sure, and pairs that wait for a closer look.

    Args:
        tiles: whose entries are counted.
        labels: in the order of the tiles, as all else here.
        best: float64 (n,), exact s of each query's best positive, -inf for none: the threshold of the negatives.
        most: counts from here on are not told apart.

    Attributes:
        open: of which queries negatives must still be counted, bool (n,).
    """

    def __init__(self, tiles: Tiles, labels: Labels, best: Tensor, most: int) -> None:
        self._tiles, self._labels, self._most = tiles, labels, most
        self._unscored = best.isinf()
        self._threshold = best.masked_fill(self._unscored, math.inf)
        self._counts = torch.zeros_like(labels.query)
        self.open = ~self._unscored
        self._limits: dict[torch.dtype, tuple[Tensor, Tensor]] = {}
        self._noted: dict[torch.dtype, list[tuple[Tensor, Tensor, Tensor]]] = {}
        self._waiting: list[tuple[Tensor, Tensor]] = []
        self._noted_pairs = self._waiting_pairs = 0

    def limits(self, road: torch.dtype, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Entries below the first do not reach the query's threshold, those above the second do: (n,) each."""
        if road not in self._limits:
            band = self._tiles.band(road)
            low = (self._threshold - band).to(dtype).masked_fill_(~self.open, math.inf)
            self._limits[road] = low, (self._threshold + band).to(dtype)
        return self._limits[road]

    def note(self, i: Tensor, j: Tensor, value: Tensor, road: torch.dtype) -> None:
        """Take note of entries of a tile, among them all that reach their query's threshold."""
        self._noted.setdefault(road, []).append((i, j, value))
        self._noted_pairs += len(i)
        if self._noted_pairs > _NOTED:
            self._sift()

    def count(self, tile: Tensor, side: Side, road: torch.dtype) -> bool:
        """Count the negatives that reach their query's threshold. False, nothing done: too many are in doubt."""
        if road == torch.float64:  # exact
            s = tile.T if side.flipped else tile
            negative = self._labels.query[side.queries, None] != self._labels.pool[side.gallery]
            self._add(side.queries, ((s >= self._threshold[side.queries, None]) & negative).sum(1))
            return True
        low, high = (limit[side.queries][side.across] for limit in self.limits(road, tile.dtype))
        marks = self._tiles.reach(tile, low)
        places = self._tiles.places(marks)
        if places is not None and len(places[0]) <= few(tile):
            self.note(*side.pairs(*places), tile[places], road)
            return True
        along = 0 if side.flipped else 1
        reached = marks.sum(along, dtype=torch.float32)
        marks = self._tiles.both(marks, self._tiles.below(tile, high))
        sure = (reached - marks.sum(along, dtype=torch.float32)).long()  # no positive is: none has s > threshold
        still = self._counts[side.queries] + sure < self._most
        places = self._tiles.places(marks.mul_(still[side.across]))
        if places is None:
            return False
        i, j = self._negatives(*side.pairs(*places))
        if len(i) > few(tile):
            return False
        self._add(side.queries, sure)
        self._wait(i, j)
        return True

    def counts(self) -> Tensor:
        """How many negatives stand before each query's best positive: int64 (n,), at most `most`; MISS without one."""
        self._sift()
        self._decide()
        return self._counts.clamp_max(self._most).masked_fill(self._unscored, MISS)

    def _sift(self) -> None:
        """Count the sure ones of what is noted; those in doubt wait."""
        noted, self._noted, self._noted_pairs = self._noted, {}, 0
        for road, parts in noted.items():
            i, j, value = (torch.cat(part) for part in zip(*parts, strict=True))
            low, high = self._limits[road]
            above = value > high[i]
            self._add(slice(None), torch.bincount(i[above], minlength=len(self._counts)))
            doubtful = ((value >= low[i]) & ~above).nonzero()[:, 0]
            self._wait(*self._negatives(i[doubtful], j[doubtful]))

    def _negatives(self, i: Tensor, j: Tensor) -> tuple[Tensor, Tensor]:
        which = (self._labels.query[i] != self._labels.pool[j]).nonzero()[:, 0]
        return i[which], j[which]

    def _add(self, queries: slice, sure: Tensor) -> None:
        counts = self._counts[queries].add_(sure)
        closed = counts >= self._most
        self.open[queries] &= ~closed
        for low, _ in self._limits.values():
            low[queries].masked_fill_(closed, math.inf)

    def _wait(self, i: Tensor, j: Tensor) -> None:
        self._waiting.append((i, j))
        self._waiting_pairs += len(i)
        if self._waiting_pairs > _WAITING:
            self._decide()

    def _decide(self) -> None:
        """Compare the waiting pairs exactly, where they still matter."""
        if not self._waiting:
            return
        i, j = (torch.cat(parts) for parts in zip(*self._waiting, strict=True))
        self._waiting, self._waiting_pairs = [], 0
        which = self.open[i].nonzero()[:, 0]
        i, j = i[which], j[which]
        reached = (self._tiles.similarities(i, j) >= self._threshold[i]).nonzero()[:, 0]
        self._add(slice(None), torch.bincount(i[reached], minlength=len(self._counts)))
