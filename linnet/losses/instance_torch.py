"""The instance head's engine in plain torch: every device and type, nothing of size B x N."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from linnet.losses.instance_blocks import Touched, apply_map
from linnet.losses.instance_rows import combine, few_sizes, logits_of, through_norms, update
from linnet.losses.owned import UpdateRule

__all__ = ["TorchEngine", "TorchResidual"]


@dataclass(frozen=True)
class _Chunk:
    """Weight rows `start:stop` of a block, among rows `low:high` that are looked at, of which there are few sizes."""

    start: int
    stop: int
    low: int
    high: int

    @property
    def columns(self) -> slice:
        """The chunk's own columns among those looked at."""
        return slice(self.start - self.low, self.stop - self.low)

    def within(self, start: int) -> slice:
        """The chunk's columns among those of a block that begins at `start`."""
        return slice(self.start - start, self.stop - start)


@dataclass
class _Block:
    """A touched block, and what is kept of it between the phases.

    Attributes:
        start: its first weight row.
        rows: its rows of the batch, (b,) of them.
        place: int64 (b, 1), their own instances, counted from `start`.
        lag: the pending map, None where nothing is pending.
        slope, along: of a block looked at in one piece, the gradient of its products (b, n), see `through_norms`.
        partition: of one looked at in several, the log of the softmax's denominators (b, 1).
        logits, inverse: and its logits (b, n) and 1 / (|w| temperature), None where they are to be computed again.
    """

    start: int
    rows: slice
    place: Tensor
    lag: Tensor | None
    chunks: list[_Chunk]
    slope: Tensor | None = None
    along: Tensor | None = None
    partition: Tensor | None = None
    logits: Tensor | None = None
    inverse: Tensor | None = None


@dataclass(frozen=True)
class TorchResidual:
    """The touched blocks, with what each keeps."""

    blocks: list[_Block]
    temperature: float | None


@dataclass(frozen=True)
class TorchEngine:
    """`Engine` in plain torch: blocks in one piece where they fit, else in chunks with the softmax's sums carried on.

    Attributes:
        chunk: elements of the largest temporary.
        kept: logits that are kept between the phases; beyond these they are computed again.
    """

    chunk: int = 5 << 18
    kept: int = 1 << 21

    def forward(
        self, weight: Tensor, velocity: Tensor, embedding: Tensor, touched: Touched, temperature: float | None
    ) -> tuple[Tensor, Tensor, TorchResidual]:
        """As `Engine.forward`."""
        loss, gradient = embedding.new_empty(len(embedding)), torch.empty_like(embedding)
        residual, room = TorchResidual(list(self._blocks(weight, touched)), temperature), self.kept
        for block in residual.blocks:
            x = embedding[block.rows]
            x = F.pad(x, (0, 0, 0, few_sizes(x, len(x), 3) - len(x)))
            room -= sum(chunk.high - chunk.low for chunk in block.chunks) * len(x)
            look = _in_one if len(block.chunks) == 1 and room >= 0 else _in_parts
            loss[block.rows], gradient[block.rows] = look(weight, velocity, x, block, temperature, room >= 0)
        return loss, gradient, residual

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
        longest = max(chunk.stop - chunk.start for block in residual.blocks for chunk in block.chunks)
        scaled, memory = embedding * scale, weight.new_empty(longest, weight.shape[1])
        for block in residual.blocks:
            for number, chunk in enumerate(block.chunks):
                w, v = weight[chunk.start : chunk.stop], velocity[chunk.start : chunk.stop]
                if block.lag is not None:
                    apply_map(w, v, block.lag)
                slope, along = _slope(weight, embedding[block.rows], block, number, residual.temperature)
                gradient = torch.mm(slope.t(), scaled[block.rows], out=memory[: len(w)])
                if along is not None:
                    gradient.addcmul_(w, (along * scale).unsqueeze(1), value=-1)
                update(w, v, gradient, rule)

    def _blocks(self, weight: Tensor, touched: Touched) -> Iterator[_Block]:
        one = [[1.0, 0.0], [0.0, 1.0]]
        lags = [lag if lag.tolist() != one else None for lag in touched.lag]
        for number, (start, stop) in enumerate(zip(touched.starts, touched.stops, strict=True)):
            rows = slice(touched.rows[number], touched.rows[number + 1])
            elements = (stop - start) * max(weight.shape[1], rows.stop - rows.start)
            # More temporaries live at once in parts, so these are half as large.
            parts = -(-2 * elements // self.chunk) if elements > self.chunk else 1
            size = -(-(stop - start) // parts)
            chunks = [_window(at, min(at + size, stop), weight) for at in range(start, stop, size)]
            yield _Block(start, rows, touched.place[rows].unsqueeze(1), lags[number], chunks)


def _window(start: int, stop: int, weight: Tensor) -> _Chunk:
    size = few_sizes(weight, stop - start, 4)
    high = min(start + size, len(weight))
    return _Chunk(start, stop, max(0, min(start, high - size)), high)


def _in_one(
    weight: Tensor, velocity: Tensor, x: Tensor, block: _Block, temperature: float | None, _: bool
) -> tuple[Tensor, Tensor]:
    """Loss (b,) and gradient (b, D) of a block of one chunk; keeps the gradient of its products."""
    (chunk,), count = block.chunks, len(block.place)
    w = _up_to_date(weight, velocity, block, chunk)
    logits, inverse = _barred(x, w, chunk, temperature)
    slope = torch.log_softmax(logits, 1)
    own = block.place + chunk.columns.start
    loss = slope[:count].gather(1, own).squeeze(1).neg_()
    slope.exp_()[:count].scatter_add_(1, own, slope.new_full(own.shape, -1))
    block.slope = slope[:count, chunk.columns]
    if inverse is not None:
        logits = logits[:count, chunk.columns]
        block.along = through_norms(block.slope, logits, inverse[chunk.columns], temperature or 1.0)
    return loss, combine(slope, w)[:count]


def _in_parts(
    weight: Tensor, velocity: Tensor, x: Tensor, block: _Block, temperature: float | None, keep: bool
) -> tuple[Tensor, Tensor]:
    """The same of a block of any number of chunks; the sums of exponentials are carried from chunk to chunk."""
    count, gradient = len(block.place), torch.zeros_like(x)
    most, total = x.new_full((len(x), 1), -torch.inf), x.new_zeros(len(x), 1)
    own, row = x.new_zeros(count, 1), torch.zeros_like(x[:count])
    if keep:  # in one piece, before the temporaries: between them it would leave holes
        block.logits = x.new_empty(count, block.chunks[-1].stop - block.start)
        block.inverse = None if temperature is None else x.new_empty(block.logits.shape[1])
    for chunk in block.chunks:
        w = _up_to_date(weight, velocity, block, chunk)
        logits, inverse = _barred(x, w, chunk, temperature)
        higher = torch.maximum(most, logits.amax(1, keepdim=True))
        fade, p = (most - higher).exp_(), (logits - higher).exp_()
        most, total = higher, total * fade + p.sum(1, keepdim=True)
        gradient = gradient.mul_(fade).add_(combine(p if inverse is None else p.mul_(inverse), w))
        logits, inverse = logits[:count, chunk.columns], None if inverse is None else inverse[chunk.columns]
        at, here = _own(block, chunk)
        own += logits.gather(1, at) * here
        row += w[chunk.columns][at.squeeze(1)] * (here if inverse is None else here * inverse[at])
        if block.logits is not None:
            block.logits[:, chunk.within(block.start)] = logits
        if block.inverse is not None and inverse is not None:
            block.inverse[chunk.within(block.start)] = inverse
    block.partition = (most + total.log())[:count]
    return (block.partition - own).squeeze(1), (gradient / total)[:count] - row


def _slope(
    weight: Tensor, x: Tensor, block: _Block, number: int, temperature: float | None
) -> tuple[Tensor, Tensor | None]:
    """The gradient of a chunk's products (b, n), and along; its weights are up to date, and its block looked at."""
    if block.slope is not None:
        return block.slope, block.along
    assert block.partition is not None
    chunk = block.chunks[number]
    if block.logits is None:
        logits, inverse = logits_of(x, weight[chunk.start : chunk.stop], temperature)
    else:
        columns = chunk.within(block.start)
        logits, inverse = block.logits[:, columns], None if block.inverse is None else block.inverse[columns]
    slope = (logits - block.partition).exp_()
    at, here = _own(block, chunk)
    slope.scatter_add_(1, at, here.to(slope.dtype).neg_())
    along = None if inverse is None else through_norms(slope, logits, inverse, temperature or 1.0)
    return slope, along


def _barred(x: Tensor, w: Tensor, chunk: _Chunk, temperature: float | None) -> tuple[Tensor, Tensor | None]:
    """Logits as `logits_of` gives them, minus infinity where rows are no part of the chunk."""
    logits, inverse = logits_of(x, w, temperature)
    logits[:, : chunk.columns.start] = -torch.inf
    logits[:, chunk.columns.stop :] = -torch.inf
    return logits, inverse


def _up_to_date(weight: Tensor, velocity: Tensor, block: _Block, chunk: _Chunk) -> Tensor:
    """P00 W + P01 V of the rows that are looked at; W itself where nothing is pending."""
    rows = slice(chunk.low, chunk.high)
    if block.lag is None:
        return weight[rows]
    (a, b), _ = block.lag.tolist()
    return torch.mul(weight[rows], a).add_(velocity[rows], alpha=b)


def _own(block: _Block, chunk: _Chunk) -> tuple[Tensor, Tensor]:
    """Each row's own instance as a column of the chunk, int64 (b, 1), and whether it lies there."""
    at = block.place + (block.start - chunk.start)
    inside = at.clamp(0, chunk.stop - chunk.start - 1)
    return inside, at == inside
