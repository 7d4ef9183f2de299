"""One map per class, and a coarse class's map as the minimum over its children's (paper 002, Sec. IV)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from linnet.errors import SupervisionError
from linnet.losses.linear import in_full_precision, initial_weight

__all__ = ["ClassMaps", "MinimumOverChildren"]


class ClassMaps(nn.Module):
    """A 1x1 convolution from a feature map to `cells` maps per class; a class's score is the mean of its maps.

    One cell on an H x W feature map is NIN's last layer. 36 cells on a 1 x 1 map are the paper's parallel FC36 layers
    behind AlexNet's FC1024 or FC7.

    Args:
        dim: D, channels of the feature map.
        classes: number of classes.
        cells: values per class and place.
        relu: cut the maps at zero, as the original NIN does; a class that is cut everywhere gets no gradient.
    """

    def __init__(self, dim: int, classes: int, cells: int = 1, *, relu: bool = False) -> None:
        super().__init__()
        self.classes, self.cells, self.relu = classes, cells, relu
        self.weight = initial_weight(classes * cells, dim)
        self.bias = nn.Parameter(torch.zeros(classes * cells))

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, D, H, W) to maps (B, classes, P), P = cells * H * W; in the weights' precision, float32."""
        with in_full_precision(features):
            flat = features.flatten(2).to(self.weight.dtype)
            maps = torch.matmul(self.weight, flat) + self.bias[:, None]
        return self._cut(maps).reshape(-1, self.classes, self.cells * maps.shape[2])

    def scores(self, embedding: Tensor) -> Tensor:
        """Embedding (B, D), the mean of the features over space, to scores (B, classes), as from the maps (Eq. 2).

        The average and the convolution commute, so no map is made. Not so behind a ReLU.

        Raises:
            ValueError: the maps are cut at zero and are not 1 x 1.
        """
        if self.relu:
            raise ValueError("scores behind a ReLU need the maps: forward(features).mean(2)")
        with in_full_precision(embedding):
            cells = F.linear(embedding.to(self.weight.dtype), self.weight, self.bias)
            scores: Tensor = cells.unflatten(1, (self.classes, self.cells)).mean(2)
            return scores

    def _cut(self, maps: Tensor) -> Tensor:
        return torch.relu(maps) if self.relu else maps


class MinimumOverChildren(nn.Module):
    """`M_c^k(i) = min over the children j of k of M_f^j(i)` (Eq. 1), at every position i.

    With `softmin` = t the smooth minimum `-t log(mean over children of exp(-M / t))`: it tends to the minimum as t goes
    to 0 and to the mean as t grows, and equal children give their own value, however many they are.

    Fine maps are put in the order of their parents, parents with equally many children side by side. So the minimum
    is one reduction for every distinct number of children, and nothing is padded.

    Args:
        membership: bool (C, F).
        softmin: t, in the maps' unit; None for the minimum itself.

    Raises:
        SupervisionError: a coarse class without a fine one.
    """

    order: Tensor
    place: Tensor

    def __init__(self, membership: Tensor, softmin: float | None = None) -> None:
        super().__init__()
        counts = membership.sum(1)
        empty = torch.nonzero(counts == 0).flatten().tolist()
        if empty:
            shown = ", ".join(map(str, empty[:8])) + (", ..." if len(empty) > 8 else "")
            raise SupervisionError(
                f"{len(empty)} of {len(counts)} coarse classes have no fine class (numbers {shown}, from 0), "
                "so there is nothing to take the minimum of; give one image of each a fine label, or keep only the "
                "other coarse classes with the setting 'classes'"
            )
        ranked = torch.argsort(counts, stable=True)
        self.register_buffer("order", torch.nonzero(membership[ranked])[:, 1], persistent=False)
        self.register_buffer("place", torch.argsort(ranked), persistent=False)
        children, parents = torch.unique_consecutive(counts[ranked], return_counts=True)
        self.blocks: list[tuple[int, int]] = list(zip(parents.tolist(), children.tolist(), strict=True))
        self.softmin = softmin

    def forward(self, maps: Tensor) -> Tensor:
        """Fine maps (B, F, P) to coarse maps (B, C, P)."""
        pieces = maps[:, self.order].split([parents * children for parents, children in self.blocks], dim=1)
        least = [self._least(piece.unflatten(1, block)) for piece, block in zip(pieces, self.blocks, strict=True)]
        return torch.cat(least, 1)[:, self.place]

    def _least(self, siblings: Tensor) -> Tensor:
        """(B, c, k, P) to (B, c, P); equal minima share the gradient."""
        if self.softmin is None:
            return siblings.amin(2)
        pressed = torch.logsumexp(-siblings / self.softmin, dim=2) - math.log(siblings.shape[2])
        return -self.softmin * pressed
