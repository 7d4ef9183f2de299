"""Triton kernels of the instance head: three launches a step, no atomics, every sum in an order fixed by the batch.

A program finds its block by its own number in a row of the table that holds each block's first program (one load of all
blocks at once). D is cut into SLICES, one a warp, and the products are batched over them: each warp multiplies its own
slice of a weight row, so that no warp reads what another has, and only the logits are summed across warps.
"""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["FIELDS", "combine_kernel", "forward_kernel", "step_kernel"]

FIELDS = ("start", "size", "row", "rows", "program", "chunk", "part", "tile", "logits", "norms", "offset")
"""Rows of the table, int64 (fields, slots): a block's first weight row and its number of rows; its first batch row and
their number; its first program of the forward kernel, weight rows a program, and its first part (chunks x rows) there;
its first tile of the step kernel; where its logits (rows x size) and its inverse norms (size) begin in their buffers;
and its first row as `place` counts, not zero where it is but a part of a group. In slots beyond the last block the
first program and tile are numbers that no program reaches."""

_START = tl.constexpr(0)
_SIZE = tl.constexpr(1)
_ROW = tl.constexpr(2)
_ROWS = tl.constexpr(3)
_PROGRAM = tl.constexpr(4)
_CHUNK = tl.constexpr(5)
_PART = tl.constexpr(6)
_TILE = tl.constexpr(7)
_LOGITS = tl.constexpr(8)
_NORMS = tl.constexpr(9)
_OFFSET = tl.constexpr(10)


@triton.jit
def _field(table: tl.tensor, field: tl.constexpr, block: tl.tensor, SLOTS: tl.constexpr) -> tl.tensor:
    return tl.load(table + field * SLOTS + block)


@triton.jit
def _find(table: tl.tensor, field: tl.constexpr, number: tl.tensor, SLOTS: tl.constexpr) -> tl.tensor:
    """The block whose programs, the first of which is in `field`, hold this number."""
    firsts = tl.load(table + field * SLOTS + tl.arange(0, SLOTS))
    return tl.sum((firsts <= number).to(tl.int32), 0) - 1


@triton.jit
def _effective(
    weight: tl.tensor,
    velocity: tl.tensor,
    at: tl.tensor,
    mask: tl.tensor,
    lags_mask: tl.tensor,
    to_lag: tl.tensor,
    LAG: tl.constexpr,
) -> tl.tensor:
    """Weights as the pending map makes them, w + (P00 - 1) w + P01 v: the small difference keeps its digits.

    The first product stays where nothing lags: with arithmetic between a load and a matrix product the compiler copies
    tiles ahead of their use, 16 bytes a thread.
    """
    w = tl.load(weight + at, mask=mask, other=0.0)
    w += tl.load(to_lag) * w
    if LAG:
        w += tl.load(to_lag + 1) * tl.load(velocity + at, mask=lags_mask, other=0.0)
    return w


@triton.jit
def forward_kernel(
    weight: tl.tensor,
    velocity: tl.tensor,
    embedding: tl.tensor,
    table: tl.tensor,
    lags: tl.tensor,
    place: tl.tensor,
    logits: tl.tensor,
    norms: tl.tensor,
    own_logit: tl.tensor,
    part_top: tl.tensor,
    part_sum: tl.tensor,
    part_out: tl.tensor,
    dim: tl.tensor,
    inverse_temperature: tl.tensor,
    SLOTS: tl.constexpr,
    BLOCK_B: tl.constexpr,
    BLOCK_N: tl.constexpr,
    SLICES: tl.constexpr,
    BLOCK_D: tl.constexpr,
    COSINE: tl.constexpr,
    LAG: tl.constexpr,
    STORE: tl.constexpr,
    PRECISION: tl.constexpr,
) -> None:
    """Logits of some batch rows over some weight rows of one block, and these weight rows' part in the softmax.

    For each batch row: the greatest logit, the sum of exponentials relative to it, and the (normalised) weight rows
    summed with these exponentials, of which the gradient is made. All of D is at hand, so W is read once.
    """
    program = tl.program_id(0)
    block = _find(table, _PROGRAM, program, SLOTS)
    start, size = _field(table, _START, block, SLOTS), _field(table, _SIZE, block, SLOTS)
    rows, chunk = _field(table, _ROWS, block, SLOTS), _field(table, _CHUNK, block, SLOTS)
    row_tiles = tl.cdiv(rows, BLOCK_B)
    within = program - _field(table, _PROGRAM, block, SLOTS)
    first = (within // row_tiles) * chunk
    b = (within % row_tiles) * BLOCK_B + tl.arange(0, BLOCK_B)
    d = (tl.arange(0, SLICES) * BLOCK_D)[:, None, None] + tl.arange(0, BLOCK_D)[None, None, :]
    row = _field(table, _ROW, block, SLOTS) + b
    x = tl.load(embedding + row[None, :, None] * dim + d, mask=(b < rows)[None, :, None] & (d < dim), other=0.0)
    own = tl.load(place + row, mask=b < rows, other=-1) - _field(table, _OFFSET, block, SLOTS)
    top = tl.full((BLOCK_B,), float("-inf"), tl.float32)
    total = tl.zeros((BLOCK_B,), tl.float32)
    out = tl.zeros((SLICES, BLOCK_B, BLOCK_D), tl.float32)
    to_logits = logits + _field(table, _LOGITS, block, SLOTS) + b[:, None] * size
    to_norms = norms + _field(table, _NORMS, block, SLOTS)
    to_lag = lags + 4 * block
    # Conditions on a whole program shorten the rows that it reads or writes.
    lag_size = tl.where(tl.load(to_lag + 1) != 0.0, size, 0)
    norms_size = tl.where(within % row_tiles == 0, size, 0)
    for n0 in range(first, tl.minimum(first + chunk, size), BLOCK_N):
        n = n0 + tl.arange(0, BLOCK_N)
        mask = (n < size)[None, :, None] & (d < dim)
        lags_mask = (n < lag_size)[None, :, None] & (d < dim)
        w = _effective(weight, velocity, (start + n)[None, :, None] * dim + d, mask, lags_mask, to_lag, LAG)
        products = tl.dot(w, tl.permute(x, (0, 2, 1)), input_precision=PRECISION)
        z = tl.trans(tl.sum(products, 0))
        if COSINE:
            inverse = 1.0 / tl.maximum(tl.sqrt(tl.sum(tl.sum(w * w, 2), 0)), 1e-12)
            tl.store(to_norms + n, inverse, mask=n < norms_size)
            z *= inverse[None, :] * inverse_temperature
        there = (b < rows)[:, None] & (n < size)[None, :]
        if STORE:
            tl.store(to_logits + n[None, :], z, mask=there)
        tl.store(own_logit + row[:, None] + 0 * n[None, :], z, mask=there & (own[:, None] == n[None, :]))
        z = tl.where((n < size)[None, :], z, float("-inf"))
        new_top = tl.maximum(top, tl.max(z, 1))
        shrink = tl.exp(top - new_top)
        p = tl.exp(z - new_top[:, None])
        total = total * shrink + tl.sum(p, 1)
        if COSINE:
            p *= inverse[None, :]
        p = tl.broadcast_to(p[None, :, :], (SLICES, BLOCK_B, BLOCK_N))
        out = tl.dot(p, w, acc=out * shrink[None, :, None], input_precision=PRECISION)
        top = new_top
    part = _field(table, _PART, block, SLOTS) + (within // row_tiles) * rows + b
    tl.store(part_top + part, top, mask=b < rows)
    tl.store(part_sum + part, total, mask=b < rows)
    tl.store(part_out + part[None, :, None] * dim + d, out, mask=(b < rows)[None, :, None] & (d < dim))


@triton.jit
def combine_kernel(
    weight: tl.tensor,
    velocity: tl.tensor,
    table: tl.tensor,
    lags: tl.tensor,
    blocks: tl.tensor,
    place: tl.tensor,
    norms: tl.tensor,
    own_logit: tl.tensor,
    part_top: tl.tensor,
    part_sum: tl.tensor,
    part_out: tl.tensor,
    loss: tl.tensor,
    gradient: tl.tensor,
    log_total: tl.tensor,
    dim: tl.tensor,
    inverse_temperature: tl.tensor,
    SLOTS: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_D: tl.constexpr,
    COSINE: tl.constexpr,
    LAG: tl.constexpr,
) -> None:
    """The parts of one batch row together: loss, log of the softmax's denominator, and BLOCK_D of the gradient."""
    row = tl.program_id(0)
    block = tl.load(blocks + row)
    start, size = _field(table, _START, block, SLOTS), _field(table, _SIZE, block, SLOTS)
    rows = _field(table, _ROWS, block, SLOTS)
    chunks = tl.cdiv(size, _field(table, _CHUNK, block, SLOTS))
    b = row - _field(table, _ROW, block, SLOTS)
    part = _field(table, _PART, block, SLOTS) + b
    d = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    top = tl.full((BLOCK_C,), float("-inf"), tl.float32)
    for c0 in range(0, chunks, BLOCK_C):
        c = c0 + tl.arange(0, BLOCK_C)
        top = tl.maximum(top, tl.load(part_top + part + c * rows, mask=c < chunks, other=float("-inf")))
    highest = tl.max(top, 0)
    total = tl.zeros((BLOCK_C,), tl.float32)
    out = tl.zeros((BLOCK_C, BLOCK_D), tl.float32)
    for c0 in range(0, chunks, BLOCK_C):
        c = c0 + tl.arange(0, BLOCK_C)
        at = part + c * rows
        share = tl.exp(tl.load(part_top + at, mask=c < chunks, other=float("-inf")) - highest)
        total += share * tl.load(part_sum + at, mask=c < chunks, other=0.0)
        mask = (c < chunks)[:, None] & (d < dim)[None, :]
        out += share[:, None] * tl.load(part_out + at[:, None] * dim + d[None, :], mask=mask, other=0.0)
    denominator = tl.sum(total, 0)
    own = tl.load(place + row)
    w = _effective(weight, velocity, (start + own) * dim + d, d < dim, d < dim, lags + 4 * block, LAG)
    if COSINE:
        w *= tl.load(norms + _field(table, _NORMS, block, SLOTS) + own)
    mean = tl.sum(out, 0) / denominator
    tl.store(gradient + row * dim + d, inverse_temperature * (mean - w), mask=d < dim)
    if tl.program_id(1) == 0:
        logged = highest + tl.log(denominator)
        tl.store(log_total + row, logged)
        tl.store(loss + row, logged - tl.load(own_logit + row))


@triton.jit
def step_kernel(
    weight: tl.tensor,
    velocity: tl.tensor,
    embedding: tl.tensor,
    table: tl.tensor,
    lags: tl.tensor,
    place: tl.tensor,
    logits: tl.tensor,
    norms: tl.tensor,
    log_total: tl.tensor,
    scale: tl.tensor,
    skip: tl.tensor,
    dim: tl.tensor,
    inverse_temperature: tl.tensor,
    lr: tl.tensor,
    momentum: tl.tensor,
    decay: tl.tensor,
    SLOTS: tl.constexpr,
    BLOCK_B: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_D: tl.constexpr,
    COSINE: tl.constexpr,
    NESTEROV: tl.constexpr,
    SKIP: tl.constexpr,
    PRECISION: tl.constexpr,
) -> None:
    """BLOCK_N x BLOCK_D of a block's W and V: catch up, add the gradient, step; each is read and written once.

    Nothing is read or written when `skip` is not zero.
    """
    tiles_d = tl.cdiv(dim, BLOCK_D)
    tile = tl.program_id(0) // tiles_d
    block = _find(table, _TILE, tile, SLOTS)
    start, size = _field(table, _START, block, SLOTS), _field(table, _SIZE, block, SLOTS)
    row, rows = _field(table, _ROW, block, SLOTS), _field(table, _ROWS, block, SLOTS)
    n = (tile - _field(table, _TILE, block, SLOTS)) * BLOCK_N + tl.arange(0, BLOCK_N)
    d = (tl.program_id(0) % tiles_d) * BLOCK_D + tl.arange(0, BLOCK_D)
    seen = size
    if SKIP:
        seen = tl.where(tl.load(skip) == 0.0, size, 0)
    mask = (n < seen)[:, None] & (d < dim)[None, :]
    at = (start + n)[:, None] * dim + d[None, :]
    old_w = tl.load(weight + at, mask=mask, other=0.0)
    old_v = tl.load(velocity + at, mask=mask, other=0.0)
    to_logits = logits + _field(table, _LOGITS, block, SLOTS) + n[:, None]
    n_place = n + _field(table, _OFFSET, block, SLOTS)
    g = tl.zeros((BLOCK_N, BLOCK_D), tl.float32)
    along = tl.zeros((BLOCK_N,), tl.float32)
    for b0 in range(0, rows, BLOCK_B):
        b = b0 + tl.arange(0, BLOCK_B)
        there = (n < size)[:, None] & (b < rows)[None, :]
        z = tl.load(to_logits + b[None, :] * size, mask=there, other=0.0)
        # What is beyond the block or the batch gets exp(0 - inf) = 0.
        r = tl.exp(z - tl.load(log_total + row + b, mask=b < rows, other=float("inf"))[None, :])
        own = tl.load(place + row + b, mask=b < rows, other=-1)[None, :] == n_place[:, None]
        r = tl.where(there, r - own.to(tl.float32), 0.0)
        x_mask = (b < rows)[:, None] & (d < dim)[None, :]
        x = tl.load(embedding + (row + b)[:, None] * dim + d[None, :], mask=x_mask, other=0.0)
        g = tl.dot(r, x, acc=g, input_precision=PRECISION)
        along += tl.sum(r * z, 1)
    to_lag = lags + 4 * block
    w = old_w + (tl.load(to_lag) * old_w + tl.load(to_lag + 1) * old_v)
    v = tl.load(to_lag + 2) * old_w + tl.load(to_lag + 3) * old_v
    g *= inverse_temperature
    if COSINE:
        # d cos / dw = (x - cos w / |w|) / |w|; r z = (r / temperature) cos.
        inverse = tl.load(norms + _field(table, _NORMS, block, SLOTS) + n, mask=n < size, other=0.0)[:, None]
        g = inverse * (g - along[:, None] * (inverse * w))
    g = tl.load(scale) * g + decay * w
    v = momentum * v + g
    if NESTEROV:
        w -= lr * (g + momentum * v)
    else:
        w -= lr * v
    tl.store(weight + at, w, mask=mask)
    tl.store(velocity + at, v, mask=mask)
