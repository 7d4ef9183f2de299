"""Eq. 1 and 3-5 of paper 001, transcribed term by term with plain loops."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def inner(a: Tensor, b: Tensor, temperature: float | None) -> Tensor:
    """f(x)^T w, or its cosine over a temperature."""
    if temperature is None:
        return sum(x * y for x, y in zip(a, b, strict=True))
    return (a / a.norm()) @ (b / b.norm()) / temperature


def cross_entropy(embedding: Tensor, rows: list[Tensor], own: int, temperature: float | None) -> Tensor:
    """-log( exp(f^T w_own) / sum_j exp(f^T w_j) )."""
    scores = [inner(embedding, row, temperature) for row in rows]
    return -torch.log(torch.exp(scores[own]) / sum(torch.exp(score) for score in scores))


def instance_loss(
    embedding: Tensor, index: Tensor, weight: Tensor, groups: Tensor, temperature: float | None = None
) -> Tensor:
    """Mean of l_B(x_i, i): the softmax runs over j with y_j^B = y_i^B (Eq. 5); one group makes it Eq. 3.

    `weight` (N, D) is in the order of the images, not sorted.
    """
    total = torch.zeros((), dtype=embedding.dtype)
    for row, image in enumerate(index.tolist()):
        together = [j for j in range(len(groups)) if groups[j] == groups[image]]
        rows = [weight[j] for j in together]
        total = total + cross_entropy(embedding[row], rows, together.index(image), temperature)
    return total / len(index)


def chance_loss(groups: Tensor, index: Tensor) -> float:
    """What a head that knows nothing loses: log of the group's size, averaged."""
    return sum(math.log(int((groups == groups[i]).sum())) for i in index.tolist()) / len(index)
