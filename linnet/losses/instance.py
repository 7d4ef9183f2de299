"""The instance softmax of paper 001: every training image is a class of its own (Eq. 3-5)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from linnet.losses.linear import in_full_precision, initial_weight

__all__ = ["InstanceHead"]


class InstanceHead(nn.Module):
    """Cross-entropy of an image against the instances of its own group (its coarse class).

    With `groups` the coarse class of each training image this is l_B of Eq. 5; with one group for all images it is
    the full instance softmax of Eq. 3-4. The weights are kept sorted by group, so a group is a contiguous block:
    logits exist only as (images of the group in the batch) x (instances of the group), never as B x N.

    Args:
        groups: int64 (N,), the group of each training image; every value >= 0.
        dim: D.
        temperature: as in `LinearHead`.
    """

    group: Tensor
    place: Tensor
    position: Tensor

    def __init__(self, groups: Tensor, dim: int, temperature: float | None = None) -> None:
        super().__init__()
        if groups.numel() and int(groups.min()) < 0:
            raise ValueError("every training image needs a group >= 0")
        order = torch.argsort(groups, stable=True)
        position = torch.empty_like(order)
        position[order] = torch.arange(len(order))
        self.sizes: list[int] = torch.bincount(groups).tolist() if groups.numel() else []
        starts = torch.tensor([0, *self.sizes]).cumsum(0)
        # Both follow from the data, so they are rebuilt with it and not stored: (N,) each.
        self.register_buffer("group", groups.clone(), persistent=False)
        self.register_buffer("place", position - starts[groups], persistent=False)
        self.register_buffer("position", position, persistent=False)
        self.weight = initial_weight(len(groups), dim)
        self.temperature = temperature

    def forward(self, embedding: Tensor, index: Tensor) -> Tensor:
        """Mean loss of a batch.

        Args:
            embedding: (B, D).
            index: int64 (B,), the images' numbers in the training set, 0..N-1.

        Returns:
            The mean over the batch of -log softmax over the image's group at the image itself, a float32 scalar.
        """
        with in_full_precision(embedding):
            unit = embedding.float() if self.temperature is None else F.normalize(embedding.float())
            return self._blocks(unit, index) / len(index)

    def _blocks(self, embedding: Tensor, index: Tensor) -> Tensor:
        group = self.group[index]
        order = torch.argsort(group, stable=True)
        counts = torch.bincount(group, minlength=len(self.sizes)).tolist()
        # One split, because its backward writes the weight's gradient once, not once a block.
        blocks = self.weight.split(self.sizes)
        rows = embedding[order].split(counts)
        places = self.place[index[order]].split(counts)
        losses = [
            F.cross_entropy(self._logits(row, blocks[number]), place, reduction="sum")
            for number, (row, place) in enumerate(zip(rows, places, strict=True))
            if len(row)
        ]
        return torch.stack(losses).sum()

    def _logits(self, rows: Tensor, block: Tensor) -> Tensor:
        if self.temperature is None:
            return F.linear(rows, block)
        return F.linear(rows, F.normalize(block)) / self.temperature
