"""How far the members of an ensemble look at the same places (paper 004 wants them not to)."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from linnet.randomness import permutation

__all__ = ["SHARE", "attention_correlation", "attention_overlap", "other_images", "top_places"]

SHARE = 0.2
"""The share of places that count as looked at."""


def attention_overlap(maps: Tensor, partners: NDArray[np.int64] | None = None) -> float:
    """Mean intersection over union of the strongest fifth of two members' places, in percent (0 to 100).

    Over all images and all pairs of members. 100: every member looks at the same places; two that never share one
    have 0. Only the order of a map's values counts, so a map may be standardised (paper 004, Eq. 2) or not.

    What it is to be held against: members whose maps have nothing to do with each other still overlap, since things
    stand in the middle of photos. So give `other_images` as partners: how far a member's places are those that
    another member looks at in *another* image.

    Args:
        maps: (M, n, P), M members' maps of n images, P places.
        partners: (n,) whose map of the second member each image's map of the first is compared with; None = its own.

    Raises:
        ValueError: fewer than two members, no image, or a value that is not finite.
    """
    _check(maps)
    top = top_places(maps)
    shares = []
    for one, other in permutations(range(len(maps)), 2):
        both = torch.minimum(top[one], top[other] if partners is None else top[other][partners]).sum(1)
        shares.append(both / (top[one].sum(1) + top[other].sum(1) - both))
    return 100 * float(torch.stack(shares).mean())


def attention_correlation(maps: Tensor, partners: NDArray[np.int64] | None = None) -> float:
    """Mean correlation of two members' maps over places, -1 to 1: the mean product of the standardised maps of Eq. 2.

    Over all images and all pairs of members; a constant map correlates 0 with every other. The whole maps count, the
    background that members agree on with them. Arguments and errors as `attention_overlap`.
    """
    _check(maps)
    centred = maps.double() - maps.double().mean(2, keepdim=True)
    length = centred.norm(dim=2, keepdim=True)
    # What is left of a constant map is rounding, which must not count as a pattern.
    units = torch.where(length > 1e-6 * maps.double().norm(dim=2, keepdim=True), centred / length, 0.0)
    means = [
        (units[one] * (units[other] if partners is None else units[other][partners])).sum(1)
        for one, other in permutations(range(len(maps)), 2)
    ]
    return float(torch.stack(means).mean())


def top_places(maps: Tensor) -> Tensor:
    """The strongest fifth of the places of each map (..., P), float64 in 0..1 of the same shape.

    k = P / 5 rounded up places count 1, the others 0. Equal values at the edge share what is left of k: a constant
    map looks a little at every place.
    """
    count = math.ceil(SHARE * maps.shape[-1])
    edge = maps.topk(count, dim=-1).values[..., -1:]
    above, level = maps > edge, maps == edge
    left = count - above.sum(-1, keepdim=True)
    return above.double() + level.double() * left / level.sum(-1, keepdim=True)


def other_images(count: int, seed: int) -> NDArray[np.int64]:
    """For each of `count` images (two or more) another one, drawn by a seed so that each is drawn once."""
    order = permutation(count, seed, "other images")
    partners = np.empty_like(order)
    partners[order] = np.roll(order, 1)
    return partners


def _check(maps: Tensor) -> None:
    if maps.ndim != 3 or len(maps) < 2 or 0 in maps.shape:
        raise ValueError(f"maps have shape {tuple(maps.shape)}; need (M, n, P) of two members or more")
    if not bool(maps.isfinite().all()):
        raise ValueError("a map has a value that is not finite")
