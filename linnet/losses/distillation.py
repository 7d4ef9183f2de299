"""Soft targets: learning another model's probabilities (Hinton, Vinyals & Dean 2015)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

__all__ = ["soft_target_loss"]


def soft_target_loss(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """`T^2 KL(softmax(teacher / T) || softmax(logits / T))`, the mean over the batch, in nats.

    The factor keeps the gradient's size whatever the temperature T. Nothing flows back to the teacher.

    Args:
        logits, teacher: (B, F), or log-probabilities, which are logits too; summed in float32 at least.
        temperature: T, above 0; the higher, the more the classes count that the teacher thinks unlikely.
    """
    ours = F.log_softmax(logits.float() / temperature, 1)
    theirs = F.log_softmax(teacher.detach().float() / temperature, 1)
    return temperature**2 * F.kl_div(ours, theirs, reduction="batchmean", log_target=True)
