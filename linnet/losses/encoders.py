"""The visual encoders of paper 000: f_v, which pools, and f_pv, which looks at parts first."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from linnet.losses.bilinear import pairwise_bilinear
from linnet.losses.linear import in_full_precision
from linnet.losses.semantic import msra_

__all__ = ["PartEncoder", "PooledEncoder"]


def _compress(channels: int, dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, dim, 1, bias=False), nn.BatchNorm2d(dim), nn.ReLU())


class PooledEncoder(nn.Module):
    """f_v: 1x1 convolution, batch norm, ReLU, global average pooling; (B, channels, H, W) to (B, dim)."""

    def __init__(self, channels: int, dim: int) -> None:
        super().__init__()
        self.project = _compress(channels, dim)
        msra_(self)

    def forward(self, features: Tensor) -> Tensor:
        """Embedding (B, dim) of feature maps (B, channels, H, W)."""
        embedding: Tensor = self.project(features).mean((2, 3))
        return embedding


class PartEncoder(nn.Module):
    """f_pv: features z of few channels, K attention maps over them, and what the maps gate, fused (Eq. 3-4).

    z is a 1x1 convolution with batch norm and ReLU; R_k two convolutions, 3x3 with ReLU and 1x1 with sigmoid.

    Args:
        channels: of the feature maps.
        dim: length of the embedding.
        reduced: D, the channels of z.
        parts: K.
        fusion: "bilinear" sums the products of every pair of gated maps and maps them linearly (Eq. 4; the mean over
            places, lest large maps start with large embeddings); "concat"
            averages each gated map over space, and passes all through a linear layer and a LeakyReLU (the released
            code).
        gates: how R_k's last layer starts, by He et al. 2015: "fan_out" as the released code does, which for a layer of
            one channel out means weights so large that most of a map is 0 or 1 and hardly learns; or "fan_in".
    """

    def __init__(
        self,
        channels: int,
        dim: int,
        reduced: int,
        parts: int,
        fusion: Literal["bilinear", "concat"] = "bilinear",
        gates: Literal["fan_out", "fan_in"] = "fan_out",
    ) -> None:
        super().__init__()
        if fusion == "bilinear" and parts < 2:
            raise ValueError(f"parts = {parts}: bilinear fusion works on pairs of attention maps")
        self.fusion = fusion
        self.compress = _compress(channels, reduced)
        self.locate = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(reduced, reduced, 3, padding=1, bias=False),
                nn.ReLU(),
                nn.Conv2d(reduced, 1, 1, bias=False),
                nn.Sigmoid(),
            )
            for _ in range(parts)
        )
        out = nn.Linear(reduced**2 if fusion == "bilinear" else parts * reduced, dim)
        self.project = out if fusion == "bilinear" else nn.Sequential(out, nn.LeakyReLU())
        msra_(self)
        if gates == "fan_in":
            for name, weight in self.locate.named_parameters():
                if name.endswith(".2.weight"):
                    weight.data.div_(reduced**0.5)  # the same draws: fan out is 1, fan in is `reduced`

    def maps(self, features: Tensor) -> Tensor:
        """Attention maps R_k (B, K, H, W) in 0..1 of feature maps (B, channels, H, W)."""
        return self._maps(self.compress(features))

    def _maps(self, z: Tensor) -> Tensor:
        return torch.cat([locate(z) for locate in self.locate], 1)

    def forward(self, features: Tensor) -> Tensor:
        """Embedding (B, dim) of feature maps (B, channels, H, W)."""
        z = self.compress(features)
        maps = self._maps(z)
        if self.fusion == "concat":
            fused = (maps.unsqueeze(2) * z.unsqueeze(1)).mean((3, 4)).flatten(1)
        else:
            fused = pairwise_bilinear(z, maps).flatten(1) / maps.shape[2:].numel()
        with in_full_precision(fused):
            embedding: Tensor = self.project(fused.float())
        return embedding
