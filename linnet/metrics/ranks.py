"""Rank counting: how many negatives stand before each query's best positive. The core of recall@k.

A query is a hit at k when one of its k nearest gallery images has its label. The k nearest hold a positive
exactly when fewer than k negatives stand before the best positive, so one count for each query serves every
k and nothing is sorted:

    rank(q) = #{negatives g : s(q, g) >= max over positives p of s(q, p)}
    recall@k = share of queries with rank < k

The ranks do not depend on the tiles' shape or arithmetic: fast tiles only sort out the pairs that are clearly above
or below the best positive, the others are decided by the exact s (`unit_vectors`). A tile that leaves too many in
doubt is computed again, more finely. Leave-one-out tiles serve both sides, which halves the products.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from typing import Literal

import torch
from torch import Tensor

from linnet.metrics.positives import Labels, best_positives
from linnet.metrics.tally import MISS, Side, Tally
from linnet.metrics.tiles import WIDE, Tiles, few
from linnet.metrics.unit_vectors import Units, slices

__all__ = ["Serves", "best_positive_ranks"]

Serves = Literal["rows", "both", "diagonal"]


@torch.no_grad()
def best_positive_ranks(
    query: Units,
    pool: Units,
    labellings: Sequence[Labels],
    *,
    alone: bool,
    chunk: int,
    roads: tuple[torch.dtype, ...],
    most: int = MISS,
) -> list[Tensor]:
    """Rank of each query's best positive, int64 (n,) for each labelling; one pass of products serves all.

    -1 where the label is negative, MISS without a positive. Ranks above `most` are given as `most`, which saves work.

    Args:
        query: (n, D).
        pool: (m, D); `query` itself when `alone`.
        labellings: one or more.
        alone: leave-one-out: query i is not in its own gallery.
        chunk: rows of a tile; it has up to 4 times as many columns.
        roads: what tiles are computed in, from `unit_vectors.roads`.
        most: ranks from here on are not told apart.

    Raises:
        ValueError: a tile of no rows.
    """
    if chunk < 1:
        raise ValueError(f"chunk is {chunk}; need at least 1")
    best = [best_positives(query, pool, given, alone=alone, chunk=chunk, roads=roads) for given in labellings]
    # By threshold, so that a tile's queries have one alike, and those that are done soon stand together.
    order = best[0].argsort()
    pool_order = order if alone else torch.arange(len(pool), device=order.device)
    tiles = Tiles(query, order, pool, pool_order, roads)
    tallies = [
        Tally(tiles, Labels(given.query[order], given.pool[pool_order]), found[order], most)
        for given, found in zip(labellings, best, strict=True)
    ]
    for rows in slices(len(order), chunk):
        if alone:
            _count(tiles, tallies, rows, rows, "diagonal")
        for columns in slices(len(pool_order), WIDE * chunk, rows.stop if alone else 0):
            _count(tiles, tallies, rows, columns, "both" if alone else "rows")
    ranks = [torch.empty_like(order).index_copy_(0, order, tally.counts()) for tally in tallies]
    return [found.masked_fill(given.query < 0, -1) for found, given in zip(ranks, labellings, strict=True)]


def _count(tiles: Tiles, tallies: list[Tally], rows: slice, columns: slice, serves: Serves) -> None:
    """Count the negatives in one tile, by the coarsest road that leaves few pairs in doubt.

    It serves its rows, or both sides, the mirror tile being this one transposed; the diagonal has the queries
    themselves in it.
    """
    sides = [Side(rows, columns, False)] + ([Side(columns, rows, True)] if serves == "both" else [])
    todo = [(tally, side) for tally in tallies for side in sides if tally.open[side.queries].any()]
    for road in tiles.roads() if todo else ():
        tile = tiles.product(rows, columns, road)
        if serves == "diagonal":
            tile.fill_diagonal_(-math.inf)
        if road == torch.float64 or not _note_few(tiles, tile, todo, road):
            todo = [(tally, side) for tally, side in todo if not tally.count(tile, side, road)]
        else:
            todo = []
        tiles.judge(road, not todo)
        if not todo:
            return


def _note_few(tiles: Tiles, tile: Tensor, todo: list[tuple[Tally, Side]], road: torch.dtype) -> bool:
    """One look for all at what reaches a limit of its row, or the least one of the columns: if little, note it."""
    lows = [(side, tally.limits(road, tile.dtype)[0][side.queries]) for tally, side in todo]
    limit = reduce(torch.minimum, (low.amin() if side.flipped else low[:, None] for side, low in lows))
    places = tiles.places(tiles.reach(tile, limit))
    if places is None or len(places[0]) > few(tile):
        return False
    values = tile[places]
    for tally, side in todo:
        tally.note(*side.pairs(*places), values, road)
    return True
