"""Where the instance head's rows lie: sorted by group, and shared out over processes by whole groups."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from linnet.losses.instance_blocks import Touched

__all__ = ["Layout", "Part", "share_out"]


@dataclass(frozen=True)
class Part:
    """A batch as one process's blocks see it.

    Attributes:
        order: int64 (b,) on the device, those rows of the batch whose groups this process holds, sorted by group.
        back: int64 (B,) on the device, where each row of the batch is in that order, b for one that is not.
        touched: their blocks.
        groups: int64, all groups that the batch touches, whoever holds them.
    """

    order: Tensor
    back: Tensor
    touched: Touched
    groups: Tensor


class Layout:
    """Rows of N images sorted by group, groups in ascending order; all on the CPU.

    Attributes:
        sizes: int64 (G,), images of each group.
        begins: int64 (G,), first row of each group in the whole head.
        starts: int64 (G,), first row among this process's, -1 for a group that another holds.
        held: int64, the groups that this process holds.
        position: int64 (N,), row of each image in the whole head.
    """

    def __init__(self, groups: Tensor) -> None:
        if groups.numel() and int(groups.min()) < 0:
            raise ValueError("every training image needs a group >= 0")
        groups = groups.cpu()
        self.sizes = torch.bincount(groups)
        self.begins = self.sizes.cumsum(0) - self.sizes
        # int32: two numbers an image, where a million images are nothing out of the way.
        self._group = groups.int()
        self._place = torch.empty_like(self._group)
        self._place[torch.argsort(groups, stable=True)] = _count_up(self.sizes).int()
        self.starts, self.held = self.begins, torch.arange(len(self.sizes))

    def __len__(self) -> int:
        """Rows that this process holds."""
        return int(self.sizes[self.held].sum())

    @property
    def position(self) -> Tensor:
        """Row of each image in the whole head, int64 (N,)."""
        return self.begins[self._group.long()] + self._place

    def rows(self, held: Tensor) -> Tensor:
        """Rows of the whole head that some groups (int64) take up, int64, in ascending order of the groups."""
        return self.begins[held].repeat_interleave(self.sizes[held]) + _count_up(self.sizes[held])

    def block(self, group: int) -> slice:
        """Rows of a group among this process's, which must hold it."""
        start = int(self.starts[group])
        return slice(start, start + int(self.sizes[group]))

    def hold(self, held: Tensor) -> None:
        """From now on this process holds these groups alone, int64, ascending."""
        self.held = held
        self.starts = torch.full_like(self.begins, -1)
        self.starts[held] = self.sizes[held].cumsum(0) - self.sizes[held]

    def part(self, index: Tensor, pending: Tensor, device: torch.device) -> Part:
        """A batch of images `index` (B,), with what is pending (G, 2, 2) for each group, for weights on `device`."""
        index = index.cpu()
        if len(index) and int(index.min()) < 0:
            raise ValueError(f"index is {int(index.min())} somewhere; training images are numbered from 0")
        group = self._group[index].long()
        order = torch.argsort(group, stable=True)
        order = order[self.starts[group[order]] >= 0]
        blocks, counts = torch.unique_consecutive(group[order], return_counts=True)
        starts = self.starts[blocks]
        touched = Touched(
            starts.tolist(),
            (starts + self.sizes[blocks]).tolist(),
            [0, *counts.cumsum(0).tolist()],
            self._place[index[order]].long().to(device, non_blocking=True),
            pending[blocks],
        )
        back = torch.full_like(index, len(order))
        back[order] = torch.arange(len(order))
        order, back = order.to(device, non_blocking=True), back.to(device, non_blocking=True)
        return Part(order, back, touched, torch.unique(group))


def share_out(sizes: Tensor, world: int) -> list[Tensor]:
    """Groups for each of `world` processes, int64 ascending, balanced by size: the largest first, to who has least."""
    shares: list[list[int]] = [[] for _ in range(world)]
    load = [0] * world
    for group in torch.argsort(sizes, descending=True, stable=True).tolist():
        least = load.index(min(load))
        shares[least].append(group)
        load[least] += int(sizes[group])
    return [torch.tensor(sorted(share), dtype=torch.int64) for share in shares]


def _count_up(sizes: Tensor) -> Tensor:
    """0..size-1 for each size, one after the other."""
    return torch.arange(int(sizes.sum())) - (sizes.cumsum(0) - sizes).repeat_interleave(sizes)
