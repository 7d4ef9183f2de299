"""A head of two layers behind batch norm, as released code for fine-grained nets has it."""

from __future__ import annotations

from torch import Tensor, nn

from linnet.losses.linear import in_full_precision

__all__ = ["DeepHead"]


class DeepHead(nn.Module):
    """Logits `Linear(ELU(BN(Linear(BN(f)))))`: the head of the official variant of paper 004.

    Args:
        dim: D, the pooled features' size.
        classes: number of classes.
        hidden: width between the layers.
    """

    def __init__(self, dim: int, classes: int, hidden: int = 512) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm1d(dim),
            nn.Linear(dim, hidden),
            nn.BatchNorm1d(hidden),
            nn.ELU(),
            nn.Linear(hidden, classes),
        )

    def forward(self, embedding: Tensor) -> Tensor:
        """Embedding (B, D) to logits (B, classes), float32; a training batch needs two images."""
        with in_full_precision(embedding):
            logits: Tensor = self.layers(embedding.float())
            return logits
