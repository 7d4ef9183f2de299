"""Put together what the processes computed, each on its share of the rows."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = ["gather_rows"]


def gather_rows(rows: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
    """Every process gets all rows, in order of row number, each row once.

    Shares may differ in size, be empty, and overlap: of a row computed twice (samplers repeat rows to make
    the shares equal) the copy of the lowest process stays, and within one process the first. Without an
    initialised process group it only sorts and drops repetitions, so one process and many end with the same
    rows.

    Args:
        rows: (b,) int64 row numbers of this process.
        tensors: (b, ...) each; same dtypes and same trailing shapes on every process.

    Returns:
        One tensor for each of `tensors`, (number of different rows, ...), on its own device.

    Raises:
        ValueError: a tensor does not have one entry for each row.
    """
    for tensor in tensors:
        if tensor.shape[:1] != rows.shape:
            raise ValueError(f"{tuple(tensor.shape)} does not have one entry for each of the {len(rows)} rows")
    if dist.is_available() and dist.is_initialized():
        rows, *shares = (_gather(tensor) for tensor in (rows, *tensors))
    else:
        shares = list(tensors)
    if not len(rows):
        return tuple(shares)
    ordered, order = rows.sort(stable=True)
    first = torch.ones_like(ordered, dtype=torch.bool)
    first[1:] = ordered[1:] != ordered[:-1]
    keep = order[first]
    return tuple(share[keep.to(share.device)] for share in shares)


def _gather(tensor: Tensor) -> Tensor:
    """Concatenate the processes' tensors, which may differ in length, in process order."""
    world = dist.get_world_size()
    length = torch.tensor([len(tensor)], device=tensor.device)
    lengths = [torch.zeros_like(length) for _ in range(world)]
    dist.all_gather(lengths, length)
    counts = [int(count) for count in lengths]
    padded = tensor.new_zeros((max(counts), *tensor.shape[1:]))
    padded[: len(tensor)] = tensor
    parts = [torch.empty_like(padded) for _ in range(world)]
    dist.all_gather(parts, padded)
    return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])
