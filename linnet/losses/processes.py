"""Rows that several processes hold or need: gathered, added up, put together; each call is made by all of them."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = ["add_up", "gather_equal", "put_together"]

_CHUNK = 1 << 24  # elements a message


def gather_equal(rows: Tensor) -> Tensor:
    """All processes' rows, (b, ...) each, one after the other: (world b, ...)."""
    parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, rows.contiguous())
    return torch.cat(parts)


def add_up(loss: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """The sums over processes of (B,) and (B, D), in one message."""
    flat = torch.cat([loss.unsqueeze(1), gradient], 1)
    dist.all_reduce(flat)
    return flat[:, 0], flat[:, 1:]


def put_together(own: Tensor, rows: list[Tensor], rank: int, device: torch.device) -> Tensor:
    """A table on the CPU of which process r holds the rows `rows[r]` (int64); `own` (n, ...) are this process's.

    Messages go by way of `device`, one that the process group serves.
    """
    table = torch.empty((sum(map(len, rows)), *own.shape[1:]), dtype=own.dtype)
    step = max(1, _CHUNK // max(1, own[:1].numel()))
    for holder, theirs in enumerate(rows):
        for start in range(0, len(theirs), step):
            part = theirs[start : start + step]
            message = torch.empty((len(part), *own.shape[1:]), dtype=own.dtype, device=device)
            if holder == rank:
                message.copy_(own[start : start + step])
            dist.broadcast(message, holder)
            table[part] = message.cpu()
    return table
