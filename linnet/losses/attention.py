"""Spatial attention maps: where the last features are strong."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["attention_maps"]


def attention_maps(features: Tensor, size: tuple[int, int] | None = None) -> Tensor:
    """Channel sum of squared activations (Zagoruyko & Komodakis 2017, F_sum^2): paper 001, Fig. 1 and 2.

        A(h, w) = sum_d F(d, h, w)^2

    Each map is divided by its own maximum, so that maps of different networks can be compared by eye; a map
    that is zero everywhere stays zero. Then it is enlarged bilinearly (pixel areas aligned, not corners).

    Args:
        features: (B, D, H, W), any floating dtype.
        size: height and width of the images; None keeps (H, W).

    Returns:
        (B, height, width) float32 in 0..1.

    Raises:
        ValueError: not four dimensions, or a feature is not finite (names the first such image of the batch).
    """
    if features.ndim != 4 or 0 in features.shape[1:]:
        raise ValueError(f"features have shape {tuple(features.shape)}; need (B, D, H, W), none of D, H, W zero")
    rows = features.detach().float()
    bad = (~rows.isfinite()).flatten(1).any(1).nonzero()
    if len(bad):
        raise ValueError(f"the features of image {int(bad[0])} of the batch have a value that is not finite")
    strongest = rows.abs().amax((1, 2, 3), keepdim=True)  # first, lest large values square to infinity
    maps = (rows / torch.where(strongest > 0, strongest, 1.0)).square().sum(1)
    most = maps.amax((1, 2), keepdim=True)
    maps = maps / torch.where(most > 0, most, 1.0)
    if size is None:
        return maps
    larger = nn.functional.interpolate(maps[:, None], size, mode="bilinear", align_corners=False)[:, 0]
    return larger.clamp(0, 1)  # the weights may add up to a little more than 1
