"""Bilinear pooling over pairs of attention maps (paper 000, Eq. 3-4)."""

from __future__ import annotations

from torch import Tensor

from linnet.losses.linear import in_full_precision

__all__ = ["pair_weights", "pairwise_bilinear"]


def pair_weights(maps: Tensor) -> Tensor:
    """The sum over pairs k < l of r_k r_l at every place, which is ((sum r)^2 - sum r^2) / 2.

    Args:
        maps: attention maps (B, K, H, W); with K = 1 there is no pair and the sum is 0.

    Returns:
        (B, H, W).
    """
    return (maps.sum(1).square() - maps.square().sum(1)) / 2


def pairwise_bilinear(features: Tensor, maps: Tensor) -> Tensor:
    """Sum over pairs k < l of the products of gated maps, in one weighted bilinear pooling (Eq. 4).

        sum_{k<l} sum_n (r_k z)_n (r_l z)_n' = sum_n w_n z_n z_n',   w = `pair_weights`

    Args:
        features: z (B, D, H, W).
        maps: r (B, K, H, W).

    Returns:
        (B, D, D), float32, symmetric.
    """
    with in_full_precision(features):
        z = features.float().flatten(2)
        weights = pair_weights(maps.float()).flatten(1)
        return (z * weights[:, None]) @ z.transpose(1, 2)
