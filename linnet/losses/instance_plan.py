"""How the instance head's blocks are laid out over a GPU's programs: a table, made on the host, sent in one piece."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from linnet.losses.instance_blocks import Touched

__all__ = ["Pieces", "Plan", "Tiles", "make_plan", "slabs", "touched_pieces"]

_UNREACHED = np.iinfo(np.int64).max

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Tiles:
    """Sizes that change the speed and the order of sums, but not what is computed.

    Attributes:
        rows: weight rows of a forward tile, at least 16.
        warps, stages: of a forward program, and how many of its tiles are under way.
        chunk: the least weight rows of a forward program.
        programs: about how many programs large work is cut into.
        step_rows, step_columns, step_warps: of a tile of the step, powers of two, at least 16.
    """

    rows: int = 16
    warps: int = 4
    stages: int = 2
    chunk: int = 192
    programs: int = 2112
    step_rows: int = 16
    step_columns: int = 128
    step_warps: int = 4


@dataclass(frozen=True)
class Pieces:
    """Blocks, or parts of blocks, int64 (n,) each.

    Attributes:
        start, size: first weight row, and how many.
        row, rows: first batch row, and how many.
        offset: first weight row as `place` counts; not zero where a piece is not the first part of its block.
        norms: where the inverse norms of its rows begin in their buffer.
        lag: float32 (n, 4), P00 - 1, P01, P10, P11 of the pending map.
    """

    start: Numbers
    size: Numbers
    row: Numbers
    rows: Numbers
    offset: Numbers
    norms: Numbers
    lag: NDArray[np.float32]


@dataclass(frozen=True)
class Plan:
    """Pieces as the kernels see them.

    Attributes:
        table, lags, blocks: on the device: int64 (fields, slots), float32 (slots, 4), and int64 (B,), each batch
            row's piece.
        slots: a power of two, at least the number of pieces.
        batch_rows: batch rows of a forward tile.
        lag: whether some piece needs V for its weights.
        programs, tiles: programs of the forward kernel, and row tiles of the step.
        parts, logits, norms: lengths of the buffers for the forward programs' sums, the logits and the inverse norms.
    """

    table: Tensor
    lags: Tensor
    blocks: Tensor
    slots: int
    batch_rows: int
    lag: bool
    programs: int
    tiles: int
    parts: int
    logits: int
    norms: int


def touched_pieces(touched: Touched) -> Pieces:
    """Every touched block as one piece."""
    start, edges = np.array(touched.starts, np.int64), np.array(touched.rows, np.int64)
    size = np.array(touched.stops, np.int64) - start
    lag = touched.lag.numpy().reshape(-1, 4) - [1.0, 0.0, 0.0, 0.0]
    return Pieces(start, size, edges[:-1], np.diff(edges), np.zeros_like(start), _before(size), lag.astype(np.float32))


def slabs(pieces: Pieces, most: int) -> Iterator[Pieces]:
    """The same rows in parts of at most `most` logits each, or of one weight row where that has more."""
    width = np.maximum(1, most // pieces.rows)
    for number in range(len(pieces.start)):
        size, step = int(pieces.size[number]), int(width[number])
        for offset in range(0, size, step):
            one = slice(number, number + 1)
            yield Pieces(
                pieces.start[one] + offset,
                np.minimum(pieces.size[one] - offset, step),
                pieces.row[one],
                pieces.rows[one],
                pieces.offset[one] + offset,
                pieces.norms[one] + offset,
                pieces.lag[one],
            )


def make_plan(pieces: Pieces, batch: int, batch_rows: int, tiles: Tiles, device: torch.device) -> Plan:
    """Lay pieces out for forward tiles of `batch_rows`, and send the table without waiting; `batch` is B."""
    size, rows = pieces.size, pieces.rows
    wanted = max(tiles.chunk, int(size.sum()) // tiles.programs)
    chunk = _up(-(-size // np.maximum(1, np.rint(size / wanted).astype(np.int64))), tiles.rows)
    chunks = -(-size // chunk)
    programs, step_tiles = chunks * -(-rows // batch_rows), -(-size // tiles.step_rows)
    slots = max(32, 1 << (len(size) - 1).bit_length())
    columns = {
        "start": pieces.start,
        "size": size,
        "row": pieces.row,
        "rows": rows,
        "program": _before(programs),
        "chunk": chunk,
        "part": _before(chunks * rows),
        "tile": _before(step_tiles),
        "logits": _before(size * rows),
        "norms": pieces.norms,
        "offset": pieces.offset,
    }
    packed = np.full(len(columns) * slots + 2 * slots + batch, _UNREACHED, np.int64)
    table, lags, blocks = np.split(packed, [len(columns) * slots, (len(columns) + 2) * slots])
    table.reshape(-1, slots)[:, : len(size)] = list(columns.values())
    lags.view(np.float32).reshape(-1, 4)[: len(size)] = pieces.lag
    blocks[:] = 0
    blocks[: rows.sum()] = np.repeat(np.arange(len(size)), rows)
    sent = _send(packed, device)
    return Plan(
        table=sent[: len(table)],
        lags=sent[len(table) : len(table) + len(lags)].view(torch.float32),
        blocks=sent[len(table) + len(lags) :],
        slots=slots,
        batch_rows=batch_rows,
        lag=bool((pieces.lag[:, 1] != 0).any()),
        programs=int(programs.sum()),
        tiles=int(step_tiles.sum()),
        parts=int((chunks * rows).sum()),
        logits=int((size * rows).sum()),
        norms=int(size.sum()),
    )


def _before(counts: Numbers) -> Numbers:
    """How many come before each: the exclusive running sum."""
    return np.asarray(counts.cumsum() - counts)


def _up(numbers: Numbers, multiple: int) -> Numbers:
    return -(-numbers // multiple) * multiple


def _send(numbers: Numbers, device: torch.device) -> Tensor:
    host = torch.from_numpy(numbers)
    return host.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else host
