"""The instance head's engine in plain torch: every device and type, nothing of size B x N."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from linnet.losses.instance_blocks import Touched, apply_map
from linnet.losses.instance_rows import logits_of, update, weight_gradient
from linnet.losses.owned import UpdateRule

__all__ = ["TorchEngine", "TorchResidual"]

_CHUNK = 1 << 21  # elements of a temporary as wide as the weights
_KEPT = 1 << 22  # logits that are kept between the phases; beyond these they are computed again


@dataclass
class TorchResidual:
    """Log of the softmax's denominator (B, 1), and per chunk the logits (None: to be computed again) and 1 / norms."""

    partition: Tensor
    temperature: float | None
    logits: list[Tensor | None] = field(default_factory=list)
    inverse: list[Tensor | None] = field(default_factory=list)


@dataclass(frozen=True)
class _Chunk:
    """Weight rows `start:stop` of block `block`, which batch rows `first:last` are told from."""

    start: int
    stop: int
    block: int
    first: int
    last: int


class TorchEngine:
    """`Engine` in plain torch: blocks go by in chunks, with the softmax's sums carried from one to the next."""

    def forward(
        self, weight: Tensor, velocity: Tensor, embedding: Tensor, touched: Touched, temperature: float | None
    ) -> tuple[Tensor, Tensor, TorchResidual]:
        """As `Engine.forward`."""
        most = embedding.new_full((len(embedding), 1), -torch.inf)
        total, own = torch.zeros_like(most), torch.zeros_like(most)
        gradient = torch.zeros_like(embedding)
        residual, room = TorchResidual(total, temperature), _KEPT
        for chunk in _chunks(touched, weight.shape[1]):
            part = slice(chunk.first, chunk.last)
            w = _up_to_date(weight, velocity, touched, chunk)
            logits, inverse = logits_of(embedding[part], w, temperature)
            at, here = _own(touched, chunk)
            own[part] += logits.gather(1, at) * here
            higher = torch.maximum(most[part], logits.amax(1, keepdim=True))
            fade = (most[part] - higher).exp_()
            p = (logits - higher).exp_()
            most[part] = higher
            total[part] = total[part] * fade + p.sum(1, keepdim=True)
            gradient[part] = torch.addmm(gradient[part] * fade, p if inverse is None else p * inverse, w)
            room -= logits.numel()
            residual.logits.append(logits if room >= 0 else None)
            residual.inverse.append(inverse)
        residual.partition = most + total.log()
        gradient = gradient / total - _own_rows(weight, velocity, touched, temperature)
        return (residual.partition - own).squeeze(1), gradient, residual

    def step(
        self,
        weight: Tensor,
        velocity: Tensor,
        embedding: Tensor,
        residual: TorchResidual,
        touched: Touched,
        rule: UpdateRule,
        scale: float | Tensor,
    ) -> None:
        """As `Engine.step`; it waits for the device where the rule may say to skip."""
        if rule.skip is not None and bool(rule.skip):
            return
        for number, chunk in enumerate(_chunks(touched, weight.shape[1])):
            part, rows = slice(chunk.first, chunk.last), slice(chunk.start, chunk.stop)
            x, w, v = embedding[part], weight[rows], velocity[rows]
            logits, inverse = residual.logits[number], residual.inverse[number]
            residual.logits[number] = None
            if _lags(touched, chunk):
                apply_map(w, v, touched.lag[chunk.block])
            if logits is None:
                logits, inverse = logits_of(x, w, residual.temperature)
            slope = (logits - residual.partition[part]).exp_()
            at, here = _own(touched, chunk)
            slope.scatter_add_(1, at, here.to(slope.dtype).neg_()).mul_(scale)
            update(w, v, weight_gradient(slope, logits, inverse, x, w, residual.temperature or 1.0), rule)


def _chunks(touched: Touched, dim: int) -> Iterator[_Chunk]:
    """The touched blocks' rows in even parts of at most `_CHUNK` elements of weight, or of logits."""
    for block, (start, stop) in enumerate(zip(touched.starts, touched.stops, strict=True)):
        first, last = touched.rows[block], touched.rows[block + 1]
        parts = -(-(stop - start) * max(dim, last - first) // _CHUNK)
        size = -(-(stop - start) // parts)
        for at in range(start, stop, size):
            yield _Chunk(at, min(at + size, stop), block, first, last)


def _lags(touched: Touched, chunk: _Chunk) -> bool:
    return touched.lag[chunk.block].tolist() != [[1.0, 0.0], [0.0, 1.0]]


def _up_to_date(weight: Tensor, velocity: Tensor, touched: Touched, chunk: _Chunk) -> Tensor:
    """P00 W + P01 V of a chunk; W itself where nothing is pending."""
    rows = slice(chunk.start, chunk.stop)
    if not _lags(touched, chunk):
        return weight[rows]
    (a, b), _ = touched.lag[chunk.block].tolist()
    return (weight[rows] * a).add_(velocity[rows], alpha=b)


def _own(touched: Touched, chunk: _Chunk) -> tuple[Tensor, Tensor]:
    """Each row's own instance as a column of the chunk, int64 (rows, 1), and whether it lies there."""
    place = touched.place[chunk.first : chunk.last] + (touched.starts[chunk.block] - chunk.start)
    inside: Tensor = place.clamp(0, chunk.stop - chunk.start - 1)
    return inside.unsqueeze(1), (place == inside).unsqueeze(1)


def _own_rows(weight: Tensor, velocity: Tensor, touched: Touched, temperature: float | None) -> Tensor:
    """Each batch row's own weight as the logits see it, (B, D): up to date, and for cosine unit over temperature."""
    counts = torch.tensor(touched.rows).diff()
    starts = torch.tensor(touched.starts).repeat_interleave(counts).to(weight.device)
    at = starts + touched.place
    lag = touched.lag[:, 0].repeat_interleave(counts, dim=0).to(weight)
    rows = weight[at] * lag[:, :1] + velocity[at] * lag[:, 1:]
    return rows if temperature is None else F.normalize(rows).div_(temperature)
