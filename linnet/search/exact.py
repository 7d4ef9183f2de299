"""Exact search of vectors that lie on disk: in blocks, in bounded memory, order and ties as of `metrics.neighbours`."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from linnet.metrics.neighbours import best_of
from linnet.metrics.tiles import Tiles
from linnet.metrics.unit_vectors import Units, roads, slices

__all__ = ["exact_search", "greatest_loss", "shared"]

_QUERIES = 1024
"""Queries that are looked for at once; with more of them at once the gallery is read fewer times."""

_FEW = 16
"""Fewer queries than these are multiplied in float32 at once."""

_TILE, _WIDEST = 1 << 22, 1 << 16
"""Entries of a tile, and its columns at most, each of which is a row of the gallery that is read at once."""


class _OnDisk(Tiles):
    """Tiles whose 16-bit factors of the gallery are made block by block, not kept."""

    _whole = False

    def _factors(self, rows: slice, columns: slice, road: torch.dtype) -> tuple[Tensor, Tensor]:
        if road == torch.float32 and self._whole:
            return self._a.rows(self._a_order[rows], road), self._b.exact[columns]
        if road.itemsize > 2:
            return super()._factors(rows, columns, road)
        if road not in self._copies:
            left = self._a.rows(self._a_order, road)
            self._copies[road] = left, left
        if self._whole:  # in order, so that no row is gathered
            return self._copies[road][0][rows], self._b.exact[columns].to(road)
        return self._copies[road][0][rows], self._b.rows(self._b_order[columns], road)


@torch.no_grad()
def exact_search(
    gallery: NDArray[np.float32],
    query: Units,
    k: int,
    *,
    rows: NDArray[np.int64] | None = None,
    lost: dict[torch.dtype, float] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The k rows most similar to each query, most similar first; of equals the lower row number comes first.

    Args:
        gallery: (N, D) unit vectors, multiples of 2^-24 as `unit_rows` makes them; a memory map will do.
        query: (n, D).
        k: how many, at least 1.
        rows: int64, ascending: only these rows of the gallery; None for all.
        lost: by type, the greatest length that rounding to it takes from a row (`greatest_loss`).

    Returns:
        Similarities (n, k) and rows (n, k); -inf and -1 where there are fewer than k.
    """
    similarity = np.full((len(query), k), -math.inf)
    found = np.full((len(query), k), -1, dtype=np.int64)
    order = torch.arange(len(gallery)) if rows is None else torch.from_numpy(rows)
    if not len(order):
        return similarity, found
    units = Units(shared(gallery), dict(lost or {}))
    for block in slices(len(query), _QUERIES):
        part = torch.arange(block.start, block.stop)
        # Rounding a row to 16 bits costs more than a few products of it.
        dtype = torch.float32 if len(part) < _FEW else None
        tiles = _OnDisk(query, part, units, order, roads(dtype, torch.device("cpu")))
        tiles._whole = rows is None
        width = min(_WIDEST, max(4096, _TILE // len(part)))
        s, j = best_of(tiles, slice(0, len(part)), len(order), width, k)
        similarity[block] = s.numpy()
        found[block] = torch.where(j < 0, j, order[j.clamp_min(0)]).numpy()
    return similarity, found


def greatest_loss(gallery: NDArray[np.float32]) -> dict[str, float]:
    """For each 16-bit type, by name, the greatest length that rounding takes from a row of unit vectors (N, D)."""
    units = Units(shared(gallery))
    return {"bfloat16": units.lost(torch.bfloat16)} if len(gallery) else {"bfloat16": 0.0}


def shared(gallery: NDArray[np.float32]) -> Tensor:
    """The rows as a tensor that shares their memory; nothing writes to it."""
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(gallery)
