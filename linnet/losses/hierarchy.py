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
    barred = fine.unsqueeze(1).masked_fill(~membership.unsqueeze(0), -torch.inf)
    return torch.logsumexp(barred, dim=2)
