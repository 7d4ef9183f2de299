"""The k nearest gallery rows by cosine similarity, exactly, in bounded memory."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from linnet.metrics.tiles import WIDE, Tiles, few, tile_rows
from linnet.metrics.unit_vectors import Array, integer_rows, roads, slices, unit_rows

__all__ = ["best_of", "nearest"]


@torch.no_grad()
def nearest(
    query: Array,
    gallery: Array | None,
    k: int,
    *,
    exclude_self: bool = False,
    within: Array | None = None,
    gallery_within: Array | None = None,
    chunk: int | None = None,
    dtype: torch.dtype | None = None,
) -> tuple[Tensor, Tensor]:
    """The k gallery rows most similar to each query, most similar first; ties go to the lower row number.

    Guaranteed, as of `recall_at_k`: order and similarities are those of the exact cosines of unit vectors rounded to
    24 binary places, whatever `chunk`, `dtype` and the number of threads. Fast products only propose candidates, with
    a margin that is proved; the candidates are ranked by exact similarities.
    Memory beyond the inputs: a float32 and a 16-bit copy of both sets, a few tiles, and the answer.

    Args:
        query: (n, D) floating, tensor on any device or numpy array.
        gallery: (m, D); None for the queries themselves.
        k: how many, at least 1.
        exclude_self: without a gallery: a row is no neighbour of itself; its duplicates are.
        within: (n,) integers: only gallery rows with the query's own number are neighbours; -1 has none.
        gallery_within: (m,) integers, with both `gallery` and `within`.
        chunk, dtype: rows and first arithmetic of a tile, see `recall_at_k`.

    Returns:
        Similarities float64 (n, k) and gallery rows int64 (n, k) on the queries' device; -inf and -1 where there are
        fewer than k neighbours.

    Raises:
        ValueError: shapes do not fit, a value is not finite (its row is named), k or chunk is below 1, or
            `exclude_self` with a gallery.
    """
    if k < 1 or (chunk is not None and chunk < 1):
        raise ValueError(f"k is {k}, chunk {chunk}; need at least 1")
    if exclude_self and gallery is not None:
        raise ValueError("exclude_self is for neighbours among the queries themselves: give gallery=None")
    if (gallery is None or within is None) != (gallery_within is None):
        raise ValueError("gallery_within is needed exactly when both gallery and within are given")
    a = unit_rows(query, "query")
    b = a if gallery is None else unit_rows(gallery, "gallery").to(a.device)
    if b.exact.shape[1] != a.exact.shape[1]:
        raise ValueError(f"the query has {a.exact.shape[1]} numbers a row, the gallery {b.exact.shape[1]}")
    everyone = (torch.zeros(len(rows), dtype=torch.int64, device=a.device) for rows in (a, b))
    group, other = everyone if within is None else (integer_rows(within, a, "within"), None)
    if other is None:
        other = group if gallery_within is None else integer_rows(gallery_within, b, "gallery_within")
    similarity = torch.full((len(a), k), -math.inf, dtype=torch.float64, device=a.device)
    index = torch.full((len(a), k), -1, dtype=torch.int64, device=a.device)
    for value in sorted(set(group[group >= 0].tolist())):
        mine, theirs = (group == value).nonzero()[:, 0], (other == value).nonzero()[:, 0]
        if not len(theirs):
            continue
        tiles = Tiles(a, mine, b, mine if gallery is None else theirs, roads(dtype, a.device))
        height = min(tile_rows(a.device) if chunk is None else chunk, max(1, 2**20 // k))
        for rows in slices(len(mine), height):
            s, j = best_of(tiles, rows, len(theirs), WIDE * height, k, exclude_self)
            similarity[mine[rows]] = s
            index[mine[rows]] = torch.where(j < 0, j, theirs[j.clamp_min(0)])
    return similarity, index


def best_of(
    tiles: Tiles, rows: slice, count: int, width: int, k: int, exclude_self: bool = False
) -> tuple[Tensor, Tensor]:
    """Similarities and columns of the k nearest of some queries, (rows, k) each; -inf, -1 where there are fewer.

    `count`: how many columns there are, of which a tile has `width`.
    """
    candidates = _Candidates(tiles, rows, k)
    for columns in slices(count, width):
        for road in tiles.roads():
            tile = tiles.product(rows, columns, road)
            if exclude_self:
                tile.diagonal(rows.start - columns.start).fill_(-math.inf)
            done = candidates.add(tile, columns, road)
            tiles.judge(road, done)
            if done:
                break
    return candidates.best()


class _Candidates:
    """What may be among the k nearest of a block of queries, with bounds on the exact similarity s.

    Of each query they stand by rising column, and `floor` (rows,) is what k of them reach at least.
    """

    def __init__(self, tiles: Tiles, rows: slice, k: int) -> None:
        self._tiles, self._rows, self._k, device = tiles, rows, k, tiles.device
        self._row = self._column = torch.empty(0, dtype=torch.int64, device=device)
        self._least = self._greatest = torch.empty(0, dtype=torch.float64, device=device)
        self._floor = torch.full((rows.stop - rows.start,), -math.inf, dtype=torch.float64, device=device)
        self._room = 4 * k * len(self._floor)  # before the next thinning

    def add(self, tile: Tensor, columns: slice, road: torch.dtype) -> bool:
        """Add what reaches the floor within the road's band. False, nothing done: that is too much."""
        if road == torch.float64:
            self._add_exactly(tile, columns)
            return True
        band, half = self._tiles.band(road), torch.finfo(tile.dtype).eps / 2
        floor = self._floor
        if self._k <= tile.shape[1] and not bool(floor.isfinite().any()):
            kth = tile.topk(self._k).values[:, -1].double()
            floor = kth - kth.abs() * half - band
        low = (floor - band).clamp_min(-2).to(tile.dtype)  # no s is so low, but what is left out is -inf
        places = self._tiles.places(self._tiles.reach(tile, low[:, None]), share=1)
        if places is None or len(places[0]) > few(tile) + self._room:
            return False
        value = tile[places].double()
        error = value.abs() * half + band
        self._floor = floor
        self._keep(places[0], places[1] + columns.start, value - error, value + error)
        return True

    def _add_exactly(self, tile: Tensor, columns: slice) -> None:
        """Add a float64 tile's k highest above the floor, of equals the first. (Equal to the floor, k stand before.)"""
        k = min(self._k, tile.shape[1])
        kth = tile.topk(k).values[:, -1:]
        above, equal = tile > kth, tile == kth
        chosen = above | (equal & (equal.cumsum(1) <= k - above.sum(1, keepdim=True)))
        row, column = (chosen & (tile > self._floor[:, None])).nonzero(as_tuple=True)
        if k == self._k:
            self._floor = torch.maximum(self._floor, kth[:, 0])
        self._keep(row, column + columns.start, tile[row, column], tile[row, column])

    def _keep(self, row: Tensor, column: Tensor, least: Tensor, greatest: Tensor) -> None:
        self._row, self._column = torch.cat([self._row, row]), torch.cat([self._column, column])
        self._least, self._greatest = torch.cat([self._least, least]), torch.cat([self._greatest, greatest])
        if len(self._row) > self._room:
            self._thin()
            self._room = 2 * len(self._row) + 4 * self._k * len(self._floor)

    def _thin(self) -> None:
        """Raise the floor to each query's k-th highest lower bound, and drop what cannot reach it."""
        order, first, count = self._sorted(self._least)
        enough = count >= self._k
        self._floor[enough] = torch.maximum(self._floor[enough], self._least[order[first[enough] + self._k - 1]])
        keep = (self._greatest >= self._floor[self._row]).nonzero()[:, 0]
        self._row, self._column = self._row[keep], self._column[keep]
        self._least, self._greatest = self._least[keep], self._greatest[keep]

    def _sorted(self, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Order of the candidates by query, then falling value, then column; each query's first one, and how many."""
        order = value.argsort(descending=True, stable=True)
        order = order[self._row[order].argsort(stable=True)]
        count = torch.bincount(self._row, minlength=len(self._floor))
        return order, count.cumsum(0) - count, count

    def best(self) -> tuple[Tensor, Tensor]:
        """Similarities and columns of the k nearest, (rows, k) each; -inf and -1 where there are fewer."""
        self._thin()
        s = self._tiles.similarities(self._row + self._rows.start, self._column)
        order, first, _ = self._sorted(s)
        row = self._row[order]
        place = torch.arange(len(order), device=order.device) - first[row]
        chosen = (place < self._k).nonzero()[:, 0]
        row, place, order = row[chosen], place[chosen], order[chosen]
        shape = (len(self._floor), self._k)
        similarity, column = s.new_full(shape, -math.inf), order.new_full(shape, -1)
        similarity[row, place], column[row, place] = s[order], self._column[order]
        return similarity, column
