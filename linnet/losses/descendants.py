"""A label at any level, scored by the total probability of the fine classes under it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

__all__ = ["DescendantLoss"]


class DescendantLoss(nn.Module):
    """`-log p(c | x) = -log sum over the fine classes f under c of p(f | x)`, p the softmax of the fine logits.

    Each image is scored by the finest label that it has. For a fine label this is the cross-entropy; with the label
    of a level above it, the softmax is free to share the probability among the descendants.

    Args:
        descendants: for every level that labels may come from, by its column of `targets` and coarsest first, bool
            (C_l, F): fine class f lies under class c of the level, or is it.
    """

    under: Tensor
    levels: Tensor
    starts: Tensor

    def __init__(self, descendants: Mapping[int, Tensor]) -> None:
        super().__init__()
        tables = list(descendants.values())
        # The first row is the root: what has no label is certain to lie under it, and loses nothing.
        root = torch.ones(1, tables[0].shape[1], dtype=torch.bool)
        sizes = torch.tensor([1, *(len(table) for table in tables)])
        self.register_buffer("under", torch.cat([root, *tables]), persistent=False)
        self.register_buffer("levels", torch.tensor(list(descendants)), persistent=False)
        self.register_buffer("starts", sizes.cumsum(0)[:-1], persistent=False)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Loss of each image.

        Args:
            logits: (B, F).
            targets: int64 (B, L), -1 where unknown.

        Returns:
            (B,); 0 for an image without any label.
        """
        labels = targets[:, self.levels]
        rows = torch.where(labels >= 0, labels + self.starts, 0)
        # Finer levels have the greater row numbers, so the finest known label is the greatest.
        inside = self.under[rows.amax(1)]
        among = torch.logsumexp(logits.masked_fill(~inside, -torch.inf), 1)
        return torch.logsumexp(logits, 1) - among
