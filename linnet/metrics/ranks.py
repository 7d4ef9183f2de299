"""Rank counting: how many negatives stand before each query's best positive. The core of recall@k.

A query is a hit at k when one of its k nearest gallery images has its label. The k nearest hold a positive
exactly when fewer than k negatives stand before the best positive, so one count for each query serves every
k and nothing is sorted:

    rank(q) = #{negatives g : s(q, g) >= max over positives p of s(q, p)}
    recall@k = share of queries with rank < k

Why the ranks do not depend on the shape of the tiles: unit vectors are rounded to multiples of 2^-24. Their
products are multiples of 2^-48 and no partial sum exceeds 2, so float64 adds them without rounding, in any
order: s is exact, and so are comparisons. Float32 tiles only sort out the pairs that are clearly above or
below; pairs within the float32 error bound of the threshold are decided by the exact s.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["MISS", "Array", "best_positive_ranks", "integer_rows", "unit_rows"]

Array = Tensor | NDArray[Any]

MISS = torch.iinfo(torch.int64).max  # the rank of a query that has no positive
_GRID = 2.0**24
_ROWS = 4096  # rows normalised at a time: fixed, so that the tile size cannot touch the unit vectors
_BLOCK = 256  # queries at a time in the search for best positives


def unit_rows(given: Array, name: str) -> Tensor:
    """Rows divided by their length and rounded to multiples of 2^-24, which float32 holds exactly: (n, D).

    Raises:
        ValueError: not a floating (n, D) array, or a value is not finite; says `name` and the row.
    """
    rows = _tensor(given).detach()
    if rows.ndim != 2 or not rows.is_floating_point():
        raise ValueError(f"{name}: {rows.dtype} of shape {tuple(rows.shape)}; need floating numbers (n, D)")
    rows = rows.cpu() if rows.device.type == "mps" else rows  # which has no float64
    units = torch.empty(rows.shape, dtype=torch.float32, device=rows.device)
    for block in _slices(len(rows), _ROWS):
        part = rows[block].to(torch.float64, copy=True)
        if rows.dtype == torch.float64:  # squares of the others neither overflow nor vanish in float64
            part /= torch.linalg.vector_norm(part, math.inf, 1, keepdim=True).clamp_min(1e-300)
        length = torch.linalg.vector_norm(part, 2, 1, keepdim=True)
        bad = (~length.isfinite()).nonzero()
        if len(bad):
            raise ValueError(f"{name}: row {block.start + int(bad[0, 0])} has a value that is not finite")
        units[block] = part.mul_(_GRID / length.clamp_min(1e-300)).round_()
    return units.mul_(1 / _GRID)


def integer_rows(given: Array, rows: Tensor, name: str) -> Tensor:
    """Labels of `rows` as int64 (n,) on their device.

    Raises:
        ValueError: not integers, or not one for each row; says `name`.
    """
    values = _tensor(given).to(rows.device)
    if values.shape != rows.shape[:1] or values.is_floating_point():
        raise ValueError(f"{name}: {values.dtype} of shape {tuple(values.shape)}; need integers ({len(rows)},)")
    return values.long()


def _tensor(given: Array) -> Tensor:
    if isinstance(given, Tensor):
        return given
    return torch.from_numpy(np.require(given, requirements=["C", "W"]))  # torch warns of read-only arrays


def _slices(stop: int, step: int, start: int = 0) -> Iterator[slice]:
    return (slice(at, min(at + step, stop)) for at in range(start, stop, step))


@torch.no_grad()
def best_positive_ranks(
    query: Tensor,
    label: Tensor,
    pool: Tensor,
    pool_label: Tensor,
    alone: bool,
    chunk: int,
    dtype: torch.dtype,
) -> Tensor:
    """Rank of each query's best positive: int64 (n,); -1 where the label is negative, MISS without a
    positive.

    Args:
        query: (n, D) of `unit_rows`.
        label: (n,) int64, -1 for unknown.
        pool: (m, D) of `unit_rows`; `query` itself when `alone`.
        pool_label: (m,) int64, -1 for unknown: a negative of every query.
        alone: leave-one-out: query i is not in its own gallery.
        chunk: rows of a tile on either side.
        dtype: of the tiles, float32 or float64.

    Raises:
        ValueError: a tile of no rows, or of another dtype.
    """
    if chunk < 1 or dtype not in (torch.float32, torch.float64):
        raise ValueError(f"chunk is {chunk}, dtype {dtype}; need at least 1, and torch.float32 or torch.float64")
    best, ties = _best_positives(query, label, pool, pool_label, alone, chunk)
    unscored = best.isinf()
    threshold = best.masked_fill(unscored, math.inf)
    counts = torch.zeros_like(label)  # of all that reach the threshold; positives and the query come off below
    for rows in _slices(len(query), chunk):
        for columns in _slices(len(pool), chunk, rows.start if alone else 0):
            tile = _products(query[rows], pool[columns], dtype)
            counts[rows] += _reaching(tile, query[rows], pool[columns], threshold[rows])
            if alone and columns.start > rows.start:  # the mirror tile is this one transposed
                counts[columns] += _reaching(tile.T, query[columns], query[rows], threshold[columns])
        if alone:
            itself = query[rows].double().square().sum(1)
            counts[rows] -= (itself >= threshold[rows]).long()
    return (counts - ties).masked_fill(unscored, MISS).masked_fill(label < 0, -1)


def _products(a: Tensor, b: Tensor, dtype: torch.dtype) -> Tensor:
    with torch.autocast(a.device.type, enabled=False):
        return a.to(dtype) @ b.to(dtype).T


def _best_positives(
    query: Tensor, label: Tensor, pool: Tensor, pool_label: Tensor, alone: bool, chunk: int
) -> tuple[Tensor, Tensor]:
    """Each query's highest exact s to a positive, float64 (n,), -inf if none, and how many positives reach
    it.

    Both sides are sorted by label: a block of queries meets only the stretch of the gallery with its labels.
    """
    best = torch.full(label.shape, -math.inf, dtype=torch.float64, device=label.device)
    ties = torch.zeros_like(label)
    order, pool_order = label.argsort(), pool_label.argsort()
    order = order[label[order] >= 0]
    first = torch.searchsorted(pool_label[pool_order], label[order])
    last = torch.searchsorted(pool_label[pool_order], label[order], right=True)
    for block in _slices(len(order), _BLOCK):
        rows = order[block]
        top, count = best[rows], ties[rows]
        for stretch in _slices(int(last[block.stop - 1]), chunk, int(first[block.start])):
            columns = pool_order[stretch]
            s = _products(query[rows], pool[columns], torch.float64)
            negative = label[rows, None] != pool_label[columns]
            if alone:
                negative |= rows[:, None] == columns
            s.masked_fill_(negative, -math.inf)
            higher = torch.maximum(top, s.amax(1))
            count = count.masked_fill(higher > top, 0) + (s == higher[:, None]).sum(1)
            top = higher
        best[rows], ties[rows] = top, count
    return best, ties


def _reaching(tile: Tensor, rows: Tensor, columns: Tensor, threshold: Tensor) -> Tensor:
    """How many columns have exact s >= the row's threshold: int64 (rows,). `tile` is rows @ columns.T."""
    if tile.dtype == torch.float64:
        return (tile >= threshold[:, None]).sum(1)
    band = _float32_error(rows.shape[1])
    low, high = (threshold - band).float()[:, None], (threshold + band).float()[:, None]
    surely, perhaps = (tile > high).sum(1), (tile >= low).sum(1)
    doubt = perhaps - surely
    if int(doubt.sum()) > tile.numel() // 64:  # many ties: one exact tile is cheaper than pair by pair
        return (_products(rows, columns, torch.float64) >= threshold[:, None]).sum(1)
    doubtful = doubt.nonzero()[:, 0]
    part = tile[doubtful]
    at, column = ((part >= low[doubtful]) & (part <= high[doubtful])).nonzero(as_tuple=True)
    at = doubtful[at]
    for pairs in _slices(len(at), max(1, tile.numel() // (2 * rows.shape[1]))):
        s = (rows[at[pairs]].double() * columns[column[pairs]].double()).sum(1)
        surely.index_add_(0, at[pairs], (s >= threshold[at[pairs]]).long())
    return surely


def _float32_error(width: int) -> float:
    """Bound on |float32 tile - exact s| for rows of `width` numbers: n u (Higham 2002, section 3.1), some
    to spare.

    Where the user allows TF32 or bfloat16 inside float32 products, rounding the factors to 8 bits comes on
    top.
    """
    backends: Any = torch.backends
    settings = (backends, backends.cuda.matmul, backends.mkldnn, backends.mkldnn.matmul)
    reduced = any(setting.fp32_precision not in ("none", "ieee") for setting in settings)
    return 1.25 * max(width, 8) * 2.0**-24 + (1.25 * 2.0**-8 if reduced else 0.0)
