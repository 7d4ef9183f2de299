"""Eq. 1-7 of paper 002, transcribed term by term with plain loops."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def coarse_maps(maps: Tensor, membership: Tensor, softmin: float | None = None) -> Tensor:
    """M_c^k(i) = min_{j in children(k)} M_f^j(i) (Eq. 1); fine maps (B, F, P), coarse maps (B, C, P)."""
    images = []
    for image in maps:
        rows = []
        for children in membership:
            of_children = [image[j] for j in range(len(children)) if children[j]]
            rows.append(torch.stack([_least([m[i] for m in of_children], softmin) for i in range(maps.shape[2])]))
        images.append(torch.stack(rows))
    return torch.stack(images)


def _least(values: list[Tensor], softmin: float | None) -> Tensor:
    if softmin is None:
        least = values[0]
        for value in values[1:]:
            least = value if value < least else least
        return least
    return -softmin * torch.log(sum(torch.exp(-value / softmin) for value in values) / len(values))


def scores(maps: Tensor) -> Tensor:
    """s = sum_i M(i) / d (Eq. 2-3)."""
    return torch.stack([torch.stack([sum(m) / len(m) for m in image]) for image in maps])


def softmax_loss(row: Tensor, label: int) -> Tensor:
    """-log( exp(s_label) / sum_j exp(s_j) )."""
    return -torch.log(torch.exp(row[label]) / sum(torch.exp(score) for score in row))


def min_pool_loss(maps: Tensor, membership: Tensor, coarse: Tensor, fine: Tensor, weight: float) -> Tensor:
    """The mean over images of 1(x) l_f(x) + lambda l_c(x) (Eq. 7)."""
    s_f, s_c = scores(maps), scores(coarse_maps(maps, membership))
    total = torch.zeros((), dtype=maps.dtype)
    for i in range(len(maps)):
        known = 1 if fine[i] >= 0 else 0
        if known:
            total = total + softmax_loss(s_f[i], int(fine[i]))
        total = total + weight * softmax_loss(s_c[i], int(coarse[i]))
    return total / len(maps)


def descendant_loss(logits: Tensor, membership: Tensor, label: int) -> Tensor:
    """-log of the summed probabilities of the fine classes under one class; logits (F,)."""
    odds = [math.e**z for z in logits]
    total = sum(odds)
    return -torch.log(sum(odds[f] / total for f in range(len(odds)) if membership[label, f]))


def multi_hot_loss(logits: Tensor, multi_hot: Tensor, probabilities: str, reduction: str) -> Tensor:
    """-sum_f m log p + (1 - m) log(1 - p), over classes as `reduction` says, mean over images (paper 003)."""
    total = torch.zeros((), dtype=logits.dtype)
    for z, m in zip(logits, multi_hot, strict=True):
        odds = torch.exp(z)
        p = odds / odds.sum() if probabilities == "softmax" else 1 / (1 + torch.exp(-z))
        of_image = sum(-torch.log(p[f]) if m[f] else -torch.log(1 - p[f]) for f in range(len(z)))
        total = total + (of_image / len(z) if reduction == "mean" else of_image)
    return total / len(logits)
