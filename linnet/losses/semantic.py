"""Images and class descriptions in one space: the interpreter g, cosine scores, and the losses of paper 000."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from linnet.losses.linear import in_full_precision

__all__ = ["Interpreter", "alignment_loss", "candidate_loss", "cosine_scores", "msra_"]


def msra_(module: nn.Module) -> None:
    """The start that paper 000 names: He et al. 2015, normal, by fan-out in convolutions; biases 0."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
            else:
                nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)


class Interpreter(nn.Sequential):
    """The semantic interpreter g (paper 000, section 3.2): attributes (n, A) to anchors (n, dim).

    Linear A -> hidden, LeakyReLU, Linear hidden -> dim, LeakyReLU.
    """

    def __init__(self, attributes: int, hidden: int = 1024, dim: int = 2048) -> None:
        super().__init__(nn.Linear(attributes, hidden), nn.LeakyReLU(), nn.Linear(hidden, dim), nn.LeakyReLU())


def cosine_scores(embedding: Tensor, anchors: Tensor) -> Tensor:
    """Cosines (B, n) of embeddings (B, D) with anchors (n, D), float32 whatever the precision; 0 with a zero vector."""
    with in_full_precision(embedding):
        return F.normalize(embedding.float()) @ F.normalize(anchors.float()).T


def alignment_loss(scores: Tensor, labels: Tensor) -> Tensor:
    """Mean over the batch of 1 - cos(f(x), g(a(y))), the first term of Eq. 1.

    Args:
        scores: cosines (B, C).
        labels: (B,).
    """
    return 1 - scores.gather(1, labels[:, None]).mean()


def candidate_loss(scores: Tensor, candidates: Tensor) -> Tensor:
    """Mean over the batch of the least 1 - cos(f(x), g(a(y))) over each image's candidates y (Eq. 6).

    Args:
        scores: cosines (B, F).
        candidates: bool (B, F), at least one an image.
    """
    return 1 - scores.masked_fill(~candidates, -torch.inf).amax(1).mean()
