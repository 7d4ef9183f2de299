"""Spatial attention and the loss that keeps a student's away from its teachers' (paper 004, Eq. 1-6)."""

from __future__ import annotations

import torch
from torch import Tensor

from linnet.losses.linear import in_full_precision

__all__ = ["attention_map", "orthogonal_loss", "rescaled", "standardised", "teacher_attention"]

_ROUNDING = 1000
"""Variation below this many units of rounding of a map's size counts as rounding: in float32 a share of 1e-4."""


def attention_map(features: Tensor) -> Tensor:
    """`M = mean over channels of GAP(F) * F` (Eq. 1).

    Args:
        features: F, (B, D, H, W), any floating dtype; products and sums are in float32 at least.

    Returns:
        (B, H, W), float32, or float64 for float64.
    """
    with in_full_precision(features):
        whole = features.to(torch.promote_types(features.dtype, torch.float32))
        importance = whole.mean(dim=(2, 3)) / whole.shape[1]
        return torch.einsum("bd,bdhw->bhw", importance, whole)


def standardised(maps: Tensor) -> Tensor:
    """Each map (B, H, W) minus its mean, over its standard deviation (Eq. 2), that of the H W places themselves.

    `(M - mean) / sqrt(var + (e rms)^2)`, rms the root mean square of the map and e 1e-4 in float32: without the second
    term, which a map that varies does not feel, a constant map would give rounding blown up to 1, or NaN. It gives 0.
    """
    places = (1, 2)
    centred = maps - maps.mean(places, keepdim=True)
    variance = centred.square().mean(places, keepdim=True)
    limits = torch.finfo(maps.dtype)
    floor = maps.detach().square().mean(places, keepdim=True) * (_ROUNDING * limits.eps) ** 2
    return centred / (variance + floor).clamp(min=limits.tiny).sqrt()


def teacher_attention(features: Tensor) -> Tensor:
    """`|M|` of the standardised map (Eq. 3), (B, H, W): a student keeps off the background too."""
    return standardised(attention_map(features)).abs()


def orthogonal_loss(features: Tensor, teachers: Tensor) -> Tensor:
    """`mean over batch and space of T * max(M, 0)` (Eq. 4-5), M the student's standardised map.

    Args:
        features: the student's, (B, D, H, W).
        teachers: T, (B, H, W): a teacher's attention (Eq. 3), or the mean over several, which gives the mean of their
            losses (Eq. 6).

    Returns:
        A scalar. A constant map on either side gives 0.
    """
    return (teachers * standardised(attention_map(features)).clamp(min=0)).mean()


def rescaled(loss: Tensor, to: Tensor) -> Tensor:
    """The loss with the value of another, scalar, and its own direction; 0 stays 0. The released code does this."""
    ratio = to.detach() / loss.detach()
    return loss * torch.where(loss.detach() > 0, ratio, 0.0)
