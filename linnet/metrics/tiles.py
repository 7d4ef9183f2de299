"""Tiles: blocks of a table of similarities too large to keep, computed in memory that is used again."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from linnet.metrics.unit_vectors import Units, exact_similarities

__all__ = ["WIDE", "Tiles", "few", "tile_rows"]

WIDE = 4  # columns of a tile for each of its rows, at most
_RUN = 64  # entries looked at together


def tile_rows(device: torch.device) -> int:
    """How many rows of a tile pay on a device."""
    return 4096 if device.type == "cuda" else 1024


def few(tile: Tensor) -> int:
    """So many pairs cost about as much, one by one, as the tile does when it is computed more finely."""
    return tile.numel() // 64 + 4 * len(tile)


class Tiles:
    """Products of rows of `a` with rows of `b`, both in an order of their own, and which entries reach a limit.

    Args:
        a, b: unit vectors (n, D) and (m, D) on one device.
        a_order, b_order: int64, the rows to take, in which order; rows are counted in that order everywhere below.
        roads: what to compute in, the first choice first (`unit_vectors.roads`).

    A tile, and what `reach` and `below` say of it, is valid until the next one is asked for.
    """

    def __init__(self, a: Units, a_order: Tensor, b: Units, b_order: Tensor, roads: tuple[torch.dtype, ...]) -> None:
        self._a, self._a_order, self._b, self._b_order = a, a_order, b, b_order
        self._roads = roads
        self._cpu = a.device.type == "cpu"
        self._memory: dict[str, Tensor] = {}
        self._copies: dict[torch.dtype, tuple[Tensor, Tensor]] = {}
        self._pause = dict.fromkeys(roads, 0)  # tiles for which a road is not tried
        self._next_pause = dict.fromkeys(roads, 1)

    @property
    def device(self) -> torch.device:
        """Where the unit vectors are."""
        return self._a.device

    def roads(self) -> list[torch.dtype]:
        """What to try for the next tile; not what was too coarse lately, for the longer the oftener it was."""
        roads = [road for road in self._roads if not self._pause[road]]
        self._pause = {road: max(0, pause - 1) for road, pause in self._pause.items()}
        return roads

    def judge(self, road: torch.dtype, fine: bool) -> None:
        """Learn whether the last tile, computed by this road, was fine enough."""
        if road != self._roads[-1]:
            self._pause[road] = 0 if fine else self._next_pause[road]
            self._next_pause[road] = 1 if fine else 2 * self._next_pause[road]

    def band(self, road: torch.dtype) -> float:
        """Bound on |y - s| of a tile, see `unit_vectors`; some to spare. Unit vectors are no longer than 1.001.

        Where the user allows TF32 or bfloat16 inside float32 products, rounding both factors to 8 bits comes on top.
        16-bit products on a GPU are added with truncation: 4 times the float32 sum's bound.
        """
        if road == torch.float64:
            return 0.0
        unit = max(self._a.exact.shape[1], 8) * 2.0**-24
        if road == torch.float32:
            return 1.25 * unit + (1.25 * 2.0**-7 if _reduced() else 0.0)
        lost = self._a.lost(road), self._b.lost(road)
        return 1.001 * sum(lost) + lost[0] * lost[1] + 4 * unit

    def product(self, rows: slice, columns: slice, road: torch.dtype) -> Tensor:
        """The tile, (rows, columns): bfloat16 by that road on a CPU, else float32, or float64 by that road."""
        left, right = self._factors(rows, columns, road)
        with torch.autocast(left.device.type, enabled=False):
            if not self._cpu and road.itemsize == 2:  # neither sums nor results in 16 bits
                return torch.mm(left, right.T, out_dtype=torch.float32)
            if road == torch.float16:
                left, right = left.float(), right.float()
            return torch.mm(left, right.T, out=self._view("tile", (len(left), len(right)), left.dtype))

    def similarities(self, i: Tensor, j: Tensor) -> Tensor:
        """The exact s of pairs of rows: float64, one for each of i and j."""
        return exact_similarities(self._a, self._a_order[i], self._b, self._b_order[j])

    def reach(self, tile: Tensor, low: Tensor) -> Tensor:
        """Ones where tile >= low, else zeros."""
        return torch.ge(tile, low, out=self._view("reach", tile.shape, self._mark(tile)))

    def below(self, tile: Tensor, high: Tensor) -> Tensor:
        """Ones where tile <= high, else zeros."""
        return torch.le(tile, high, out=self._view("below", tile.shape, self._mark(tile)))

    def both(self, marks: Tensor, others: Tensor) -> Tensor:
        """Ones where `reach`'s answer and `below`'s have ones, in place of the former."""
        count = marks.numel()
        mine, theirs = (self._memory[f"{name} {marks.dtype}"] for name in ("reach", "below"))
        words = slice(-(-count * marks.itemsize // 8))
        mine.view(torch.int64)[words] &= theirs.view(torch.int64)[words]
        return marks

    def places(self, marks: Tensor, share: int = 8) -> tuple[Tensor, Tensor] | None:
        """Rows and columns of the ones in `reach`'s answer; None if ones are in more than 1 / share of its runs.

        A run is 64 entries, added as int64, eight bytes at once. That sum is 0 only if all are: it is m z, z the bits
        of a one (1, or 127 * 2^7 of bfloat16, 127 * 2^23 of float32) and 0 <= m < 2^64 / (z without its odd factor).
        """
        count = marks.numel()
        flat = self._memory[f"reach {marks.dtype}"][: -(-count // _RUN) * _RUN]
        flat[count:] = 0
        runs = flat.view(torch.int64).view(len(flat) // _RUN, -1).sum(1).nonzero()[:, 0]
        if share * len(runs) > len(flat) // _RUN + 64:
            return None
        run, offset = flat.view(-1, _RUN).index_select(0, runs).nonzero(as_tuple=True)
        at = runs[run] * _RUN + offset
        row = at.div(marks.shape[1], rounding_mode="floor")
        return row, at - row * marks.shape[1]

    def _factors(self, rows: slice, columns: slice, road: torch.dtype) -> tuple[Tensor, Tensor]:
        a, b, a_order, b_order = self._a, self._b, self._a_order, self._b_order
        if road.itemsize > 2:
            return a.rows(a_order[rows], road), b.rows(b_order[columns], road)
        if road not in self._copies:
            left = a.rows(a_order, road)
            same = a is b and a_order is b_order
            self._copies[road] = left, left if same else b.rows(b_order, road)
        left, right = self._copies[road]
        return left[rows], right[columns]

    def _mark(self, tile: Tensor) -> torch.dtype:
        return tile.dtype if self._cpu else torch.bool  # CPUs compare into the same type several times faster

    def _view(self, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Memory for a tile, the same one whenever it is large enough; whole runs."""
        key, count = f"{name} {dtype}", math.prod(shape)
        if len(self._memory.get(key, ())) < count:
            self._memory[key] = torch.empty(-(-count // _RUN) * _RUN, dtype=dtype, device=self.device)
        return self._memory[key][:count].view(shape)


def _reduced() -> bool:
    backends: Any = torch.backends
    settings = (backends, backends.cuda.matmul, backends.mkldnn, backends.mkldnn.matmul)
    return any(setting.fp32_precision not in ("none", "ieee") for setting in settings)
