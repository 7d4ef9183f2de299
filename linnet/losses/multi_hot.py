"""The coarse term of paper 003: every fine class against "is it under the image's coarse class?"."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["multi_hot_cross_entropy"]


def multi_hot_cross_entropy(
    logits: Tensor,
    multi_hot: Tensor,
    probabilities: Literal["sigmoid", "softmax"] = "sigmoid",
    reduction: Literal["mean", "sum"] = "mean",
) -> Tensor:
    """`-(m log p + (1 - m) log(1 - p))`, the mean over the batch of the mean or the sum over the classes.

    Args:
        logits: z, (B, F) with F of at least 2.
        multi_hot: m, bool (B, F): the union of the one-hot labels of all fine classes under the image's coarse class.
        probabilities: p = sigmoid(z), class by class; or p = softmax(z), the literal reading of the text.
        reduction: over the classes.

    Returns:
        A scalar, finite for all finite logits.
    """
    if probabilities == "sigmoid":
        losses = F.binary_cross_entropy_with_logits(logits, multi_hot.to(logits.dtype), reduction="none")
    else:
        losses = -torch.where(multi_hot, torch.log_softmax(logits, 1), _log_of_the_rest(logits))
    return losses.mean() if reduction == "mean" else losses.sum(1).mean()


def _log_of_the_rest(logits: Tensor) -> Tensor:
    """log(1 - softmax(z)), (B, F). Only the greatest p can be near 1; there the others are summed instead."""
    top = logits.argmax(1, keepdim=True)
    whole = torch.logsumexp(logits, 1, keepdim=True)
    others = torch.logsumexp(logits.scatter(1, top, -torch.inf), 1, keepdim=True)
    small = torch.softmax(logits, 1).scatter(1, top, 0.0)
    return torch.log1p(-small).scatter(1, top, others - whole)
