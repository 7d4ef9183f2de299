"""Unit vectors whose similarities compare exactly, and fast products of them that err by no more than a proved band.

Exact: rows are rounded to multiples of 2^-24. Their products are multiples of 2^-48 and no partial sum exceeds 2, so
float64 adds them without rounding, in any order: the similarity s is exact, and so are comparisons.

Fast: an entry of a tile is x = round(y), y a float32 sum with |y - s| <= band. Rounding keeps order, so for any t

    s >= t  implies  x >= round(t - band),      and      x > round(t + band)  implies  s > t

and only entries between the two limits must be looked at exactly. For 16-bit copies a' of a and b' of b,
a.b - a'.b' = a.(b - b') + (a - a').b', so |a|.|b - b'| + |a - a'|.|b'| bounds it (Cauchy-Schwarz), with the greatest
|a - a'| measured; products of 16-bit numbers are exact in float32, and their sum errs by n u (Higham 2002, 3.1).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from linnet.hardware import bf16_is_fast

__all__ = ["Array", "Units", "exact_similarities", "integer_rows", "roads", "slices", "unit_rows"]

Array = Tensor | NDArray[Any]

_GRID = 2.0**24
_ROWS = 512  # rows normalised at a time: fixed, so that the tile size cannot touch the unit vectors
_HALVES = (torch.bfloat16, torch.float16)


@dataclass(frozen=True)
class Units:
    """Unit vectors.

    Attributes:
        exact: (n, D) float32, multiples of 2^-24; rows of length 1, or 0.
    """

    exact: Tensor
    _lost: dict[torch.dtype, float] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.exact)

    @property
    def device(self) -> torch.device:
        """Where the rows are."""
        return self.exact.device

    def to(self, device: torch.device) -> Units:
        """The same on another device."""
        return Units(self.exact.to(device), dict(self._lost))

    def rows(self, which: Tensor, dtype: torch.dtype) -> Tensor:
        """Some rows, rounded to `dtype`."""
        rows = torch.empty(len(which), self.exact.shape[1], dtype=dtype, device=self.device)
        for block in slices(len(which), _ROWS):
            rows[block] = self.exact.index_select(0, which[block])
        return rows

    def lost(self, dtype: torch.dtype) -> float:
        """The greatest length of what rounding to `dtype` takes away from a row."""
        if dtype not in self._lost:
            lost = self.exact.new_zeros(())
            for block in slices(len(self), _ROWS):
                rest = self.exact[block] - self.exact[block].to(dtype)
                lost = torch.maximum(lost, torch.linalg.vector_norm(rest, 2, 1).amax())
            self._lost[dtype] = float(lost) * (1 + 1e-3)  # the lengths are float32 sums themselves
        return self._lost[dtype]

    def take(self, which: Tensor) -> Units:
        """Only some rows."""
        return Units(self.exact.index_select(0, which), dict(self._lost))


def unit_rows(given: Array, name: str) -> Units:
    """Rows (n, D) divided by their length and rounded to multiples of 2^-24, which float32 holds exactly.

    Raises:
        ValueError: not a floating (n, D) array, or a value is not finite; says `name` and the row.
    """
    rows = _tensor(given).detach()
    if rows.ndim != 2 or not rows.is_floating_point():
        raise ValueError(f"{name}: {rows.dtype} of shape {tuple(rows.shape)}; need floating numbers (n, D)")
    rows = rows.cpu() if rows.device.type == "mps" else rows  # which has no float64
    units = torch.empty(rows.shape, dtype=torch.float32, device=rows.device)
    for block in slices(len(rows), _ROWS):
        part = rows[block].to(torch.float64, copy=True)
        if rows.dtype == torch.float64:  # squares of the others neither overflow nor vanish in float64
            part /= torch.linalg.vector_norm(part, math.inf, 1, keepdim=True).clamp_min(1e-300)
        length = torch.linalg.vector_norm(part, 2, 1, keepdim=True)
        bad = (~length.isfinite()).nonzero()
        if len(bad):
            raise ValueError(f"{name}: row {block.start + int(bad[0, 0])} has a value that is not finite")
        units[block] = part.mul_(_GRID / length.clamp_min(1e-300)).round_()
    return Units(units.mul_(1 / _GRID))


def integer_rows(given: Array, rows: Units, name: str) -> Tensor:
    """Labels of `rows` as int64 (n,) on their device.

    Raises:
        ValueError: not integers, or not one for each row; says `name`.
    """
    values = _tensor(given).to(rows.device)
    if values.shape != rows.exact.shape[:1] or values.is_floating_point():
        raise ValueError(f"{name}: {values.dtype} of shape {tuple(values.shape)}; need integers ({len(rows)},)")
    return values.long()


def roads(dtype: torch.dtype | None, device: torch.device) -> tuple[torch.dtype, ...]:
    """What tiles may be computed in, the first choice first, float64 last.

    None begins with 16 bits where the device multiplies them faster: bfloat16 on CPUs (oneDNN), float16 on CUDA.

    Raises:
        ValueError: `dtype` is not one of float16, bfloat16, float32, float64.
    """
    if dtype is None and device.type == "cuda":
        dtype = torch.float16
    elif dtype is None:
        dtype = torch.bfloat16 if device.type == "cpu" and bf16_is_fast(device) else torch.float32
    wider = (torch.float32, torch.float64)
    if dtype in _HALVES:
        return (dtype, *wider)
    if dtype not in wider:
        raise ValueError(f"dtype is {dtype}; need torch.float32 or torch.float64, bfloat16 or float16, or None")
    return wider[wider.index(dtype) :]


def exact_similarities(a: Units, i: Tensor, b: Units, j: Tensor) -> Tensor:
    """The exact s of the pairs (a[i], b[j]): float64, one for each of i and j."""
    found = torch.empty(len(i), dtype=torch.float64, device=a.device)
    width = a.exact.shape[1]
    step = max(1, (2**26 if a.exact.is_cuda else 2**17) // max(1, width))  # on a CPU, what stays in its cores' caches
    some = min(step, len(i))
    rows = torch.empty(some, width, dtype=torch.float32, device=found.device)
    products = torch.empty(some, width, dtype=torch.float64, device=found.device)
    for part in slices(len(i), step):
        row, product = rows[: part.stop - part.start], products[: part.stop - part.start]
        product.copy_(torch.index_select(a.exact, 0, i[part], out=row))
        product.mul_(torch.index_select(b.exact, 0, j[part], out=row))
        torch.sum(product, 1, out=found[part])
    return found


def slices(stop: int, step: int, start: int = 0) -> Iterator[slice]:
    """Cut start .. stop into slices of `step`, the last one perhaps shorter."""
    return (slice(at, min(at + step, stop)) for at in range(start, stop, step))


def _tensor(given: Array) -> Tensor:
    if isinstance(given, Tensor):
        return given
    return torch.from_numpy(np.require(given, requirements=["C", "W"]))  # torch warns of read-only arrays
