"""Probabilities up the hierarchy: a coarse class is as likely as its fine classes together."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["coarse_log_probabilities"]


def coarse_log_probabilities(fine: Tensor, membership: Tensor) -> Tensor:
    """`log p(c) = log sum over the children of c of p(f)`.

    Args:
        fine: log-probabilities (B, F).
        membership: bool (C, F); a coarse class without a child gets -inf.

    Returns:
        (B, C).
    """
    if torch.compiler.is_compiling():  # a graph has no numbers from data, and ONNX no sorting that is stable
        return torch.logsumexp(fine[:, None].masked_fill(~membership, -torch.inf), dim=2)
    most = int(membership.sum(1).max()) if membership.numel() else int(membership.shape[1])
    # Each class's children first, then others, which are barred: (C, most) in place of (C, F) for every image.
    children = membership.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :most]
    barred = fine[:, children].masked_fill(~membership.gather(1, children), -torch.inf)
    return torch.logsumexp(barred, dim=2)
