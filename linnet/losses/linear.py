"""The bias-free linear head over an embedding, plain or cosine."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["LinearHead", "in_full_precision", "initial_weight"]


def in_full_precision(embedding: Tensor) -> torch.autocast:
    """A context that keeps a head's products in float32 although the backbone runs under autocast.

    The instance softmax sums over tens of thousands of exponentials; its gradients drown in bf16.
    """
    return torch.autocast(embedding.device.type, enabled=False)


def initial_weight(rows: int, dim: int) -> nn.Parameter:
    """`nn.Linear`'s own initial weights, uniform in +-1/sqrt(D), for a (rows, D) head."""
    bound = dim**-0.5
    return nn.Parameter(torch.empty(rows, dim).uniform_(-bound, bound))


class LinearHead(nn.Module):
    """Logits `W f(x)`, or cosine logits `cos(w_j, f(x)) / temperature` (the ICCV version of paper 001).

    Args:
        dim: D, the embedding's size.
        classes: number of classes.
        temperature: None for plain inner products; else both sides are normalised and divided by it.
    """

    def __init__(self, dim: int, classes: int, temperature: float | None = None) -> None:
        super().__init__()
        self.weight = initial_weight(classes, dim)
        self.temperature = temperature

    def forward(self, embedding: Tensor) -> Tensor:
        """Embedding (B, D) to logits (B, classes), float32."""
        with in_full_precision(embedding):
            if self.temperature is None:
                return F.linear(embedding.float(), self.weight)
            unit = F.normalize(embedding.float())
            return F.linear(unit, F.normalize(self.weight)) / self.temperature
