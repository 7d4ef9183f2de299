"""Attributes regressed on images whose fine class is one of a few: which one, is assigned in balance over siblings."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

from linnet.losses.linear import in_full_precision
from linnet.losses.processes import gather_equal
from linnet.losses.ridge import ridge
from linnet.losses.semantic import cosine_scores

__all__ = ["BalancedRegression", "balanced_shares"]


def balanced_shares(scores: Tensor, iterations: int = 20) -> Tensor:
    """Probabilities of k classes for n images: rows that sum to 1, and every class with about n / k images in all.

    Sinkhorn's scaling of exp(scores) to uniform column sums and then to rows that sum to 1, over and over; of the
    assignments with such sums it is the one nearest to exp(scores) (Cuturi 2013).

    Args:
        scores: (n, k), logarithms up to a constant a row.
        iterations: how often both are scaled; the rows last.

    Returns:
        (n, k).
    """
    for _ in range(iterations):
        scores = torch.log_softmax(torch.log_softmax(scores, 0), 1)
    return scores.exp()


class BalancedRegression(nn.Module):
    """Linear regression from pooled features to attributes, taught by coarse labels and an even share of each child.

    The features, at unit length, are kept in one pass over the training images; then all is solved at once:

    1. regress on the attributes of each image's coarse class (`start`);
    2. score its children by cosine over a temperature, and share the images of each coarse class evenly among them;
    3. regress on the attributes so expected (`strength`), and go on with 2, `rounds` times.

    Attributes are counted from the mean of the coarse classes and divided by their deviation over the fine ones.

    Args:
        dim: D, channels of the feature map.
        coarse: attributes (C, A), `fine` (F, A), `membership` bool (C, F).
        coarse_of_instance: (N,), the coarse class of each training image; empty where nothing is to be learned.
        start, strength: of the two regressions, as `losses.ridge.ridge` has them.
        temperature: what cosines are divided by; the smaller, the more an image belongs to one class alone.
        rounds: of steps 2 and 3; 0 leaves the first regression.
    """

    kept: Tensor
    known: Tensor
    coarse_of_instance: Tensor
    membership: Tensor
    weight: Tensor
    bias: Tensor
    anchors: Tensor
    coarse_anchors: Tensor

    def __init__(
        self,
        dim: int,
        coarse: Tensor,
        fine: Tensor,
        membership: Tensor,
        coarse_of_instance: Tensor,
        *,
        start: float,
        strength: float,
        temperature: float,
        rounds: int,
    ) -> None:
        super().__init__()
        self.start, self.strength, self.temperature, self.rounds = start, strength, temperature, rounds
        self.register_buffer("kept", torch.zeros(len(coarse_of_instance), dim))
        self.register_buffer("known", torch.full((len(coarse_of_instance),), -1))
        self.register_buffer("coarse_of_instance", coarse_of_instance.clone(), persistent=False)
        self.register_buffer("membership", membership.clone(), persistent=False)
        self.register_buffer("weight", torch.zeros(fine.shape[1], dim))
        self.register_buffer("bias", torch.zeros(fine.shape[1]))
        middle, deviation = coarse.mean(0), fine.std(0, correction=0)
        scale = torch.where(deviation > 0, deviation, 1.0)  # what no class differs in tells nothing
        self.register_buffer("anchors", (fine - middle) / scale)
        self.register_buffer("coarse_anchors", (coarse - middle) / scale)

    @torch.no_grad()
    def keep(self, features: Tensor, index: Tensor, known: Tensor | None = None) -> None:
        """Keep feature maps (B, D, H, W) of the training images `index` (B,), pooled.

        `known` (B,) are fine classes of the images, -1 where unknown: a known one needs no share, and no other image
        gets one of it.
        """
        rows, pooled = index.to(self.kept.device), self._pooled(features)
        known = torch.full_like(rows, -1) if known is None else known.to(rows)
        if dist.is_initialized():  # each process keeps the images of all, as a checkpoint needs
            rows, pooled, known = gather_equal(rows), gather_equal(pooled), gather_equal(known)
        self.kept[rows], self.known[rows] = pooled, known

    @torch.no_grad()
    def fit(self) -> None:
        """Solve from what is kept."""
        there = self.kept.any(1)  # an epoch may leave images out
        rows, known, labels = self.kept[there], self.known[there], self.coarse_of_instance[there]
        targets = torch.where((known >= 0)[:, None], self.anchors[known.clamp_min(0)], self.coarse_anchors[labels])
        weight, bias = ridge(rows, targets, self.start)
        shared = self._shared(labels, known)
        for _ in range(self.rounds):
            scores = cosine_scores(F.linear(rows, weight, bias), self.anchors) / self.temperature
            for images, candidates in shared:
                targets[images] = balanced_shares(scores[images][:, candidates]) @ self.anchors[candidates]
            weight, bias = ridge(rows, targets, self.strength)
        self.weight.copy_(weight)
        self.bias.copy_(bias)

    def _shared(self, labels: Tensor, known: Tensor) -> list[tuple[Tensor, Tensor]]:
        """For every coarse class the images to be shared out, and the classes that they are shared out among."""
        told = torch.zeros_like(self.membership[0]).index_fill_(0, known[known >= 0].unique(), True)
        found = []
        for coarse, children in enumerate(self.membership):
            images = ((labels == coarse) & (known < 0)).nonzero()[:, 0]
            open_ = children & ~told
            candidates = (open_ if bool(open_.any()) else children).nonzero()[:, 0]
            if len(images) and len(candidates):
                found.append((images, candidates))
        return found

    def _pooled(self, features: Tensor) -> Tensor:
        with in_full_precision(features):
            return F.normalize(features.float().mean((2, 3)))

    def forward(self, features: Tensor) -> Tensor:
        """Attributes (B, A), in the units of `anchors`, of feature maps (B, D, H, W)."""
        pooled = self._pooled(features)
        with in_full_precision(pooled):
            return F.linear(pooled, self.weight, self.bias)
