"""The best positive of each query: its nearest gallery image with its label, by the exact similarity."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from linnet.metrics.tiles import WIDE, Tiles, few
from linnet.metrics.unit_vectors import Units, slices

__all__ = ["Labels", "best_positives"]


@dataclass(frozen=True)
class Labels:
    """One labelling, int64: of queries (n,) and gallery (m,); -1 for unknown: no query, a negative of every query."""

    query: Tensor
    pool: Tensor


def best_positives(
    query: Units, pool: Units, labels: Labels, *, alone: bool, chunk: int, roads: tuple[torch.dtype, ...]
) -> Tensor:
    """Each query's highest exact s to a positive: float64 (n,), -inf without one. Arguments: `best_positive_ranks`.

    Both sides are sorted by label: a block of queries meets only the stretch of the gallery with its labels.
    """
    order = labels.query.argsort()
    pool_order = order if alone else labels.pool.argsort()
    sought, there = labels.query[order], labels.pool[pool_order]
    tiles = Tiles(query, order, pool, pool_order, roads)
    best = torch.full(sought.shape, -math.inf, dtype=torch.float64, device=sought.device)
    first, last = torch.searchsorted(there, sought), torch.searchsorted(there, sought, right=True)
    for rows in _blocks(sought, chunk):
        for columns in slices(int(last[rows.stop - 1]), WIDE * chunk, int(first[rows.start])):
            negative = sought[rows, None] != there[columns]
            if alone:
                negative.diagonal(rows.start - columns.start).fill_(True)  # the queries themselves
            for road in tiles.roads():
                tile = tiles.product(rows, columns, road).masked_fill_(negative, -math.inf)
                done = _raise(best[rows], tile, tiles, rows, columns, road)
                tiles.judge(road, done)
                if done:
                    break
    return torch.empty_like(best).index_copy_(0, order, best)


def _blocks(labels: Tensor, most: int) -> Iterator[slice]:
    """Cut sorted labels, from the first known one on, into slices of half of `most` or so, if possible between two."""
    start = int((labels < 0).sum())
    while start < len(labels):
        stop = min(start + -(-most // 2), len(labels))
        begins, ends = (int(torch.searchsorted(labels, labels[stop - 1], right=right)) for right in (False, True))
        if ends <= start + most:
            stop = ends
        elif begins > start:
            stop = begins
        yield slice(start, stop)
        start = stop


def _raise(best: Tensor, tile: Tensor, tiles: Tiles, rows: slice, columns: slice, road: torch.dtype) -> bool:
    """Raise `best` of the rows to the highest exact s in the tile. False, nothing done: too many may be highest."""
    if road == torch.float64:
        torch.maximum(best, tile.amax(1), out=best)
        return True
    band, top = tiles.band(road), tile.amax(1).double()
    surely = top - band - top.abs() * (torch.finfo(tile.dtype).eps / 2)  # the highest s is no lower
    low = (torch.maximum(surely, best) - band).to(tile.dtype).masked_fill_(top.isinf(), math.inf)
    places = tiles.places(tiles.reach(tile, low[:, None]), share=1)
    if places is None or len(places[0]) > few(tile):
        return False
    row, column = places
    best.scatter_reduce_(0, row, tiles.similarities(row + rows.start, column + columns.start), "amax")
    return True
