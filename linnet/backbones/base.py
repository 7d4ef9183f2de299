"""What every backbone offers: a feature map, and its global average as the embedding."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Backbone"]


class Backbone(nn.Module):
    """A network from images to a feature map.

    Attributes:
        dim: D, the length of the embedding.
        start: where the weights come from: "scratch", "imagenet", or the name of a file; results carry
            it, because classes seen in pretraining are a leak.
    """

    dim: int
    start: str

    def __init__(self, dim: int) -> None:
        """Remember D; weights start from scratch until something is loaded."""
        super().__init__()
        self.dim = dim
        self.start = "scratch"

    def features(self, images: Tensor) -> Tensor:
        """Feature map (B, D, H, W) of normalised images (B, 3, size, size)."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> Tensor:
        """Embedding (B, D): the feature map's average over space."""
        return self.features(images).mean(dim=(2, 3))

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile `features` in place, with `torch.compile`'s arguments; methods may call it without the average."""
        self.features = torch.compile(self.features, *args, **kwargs)  # type: ignore[method-assign]
