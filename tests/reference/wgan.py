"""f-CLSWGAN's terms, slowly and literally, one feature at a time."""

from __future__ import annotations

import torch
from torch import Tensor


def score(layers: list[tuple[Tensor, Tensor]], feature: Tensor, described: Tensor) -> Tensor:
    """D(x, a) of one feature: two linear layers with a leaky ReLU of 0.2 between."""
    (w1, b1), (w2, b2) = layers
    hidden = w1 @ torch.cat([feature, described]) + b1
    hidden = torch.stack([h if h > 0 else 0.2 * h for h in hidden])
    return (w2 @ hidden + b2)[0]


def penalty(
    layers: list[tuple[Tensor, Tensor]], real: Tensor, fake: Tensor, described: Tensor, share: Tensor
) -> Tensor:
    """Mean of (|grad D| - 1)^2 where each pair is mixed, the gradient written out by the chain rule."""
    (w1, b1), (w2, _) = layers
    terms = []
    for x, y, a, s in zip(real, fake, described, share[:, 0], strict=True):
        mixed = s * x + (1 - s) * y
        slopes = torch.where(w1 @ torch.cat([mixed, a]) + b1 > 0, 1.0, 0.2).to(w1.dtype)
        gradient = (w2[0] * slopes) @ w1[:, : len(mixed)]
        terms.append((gradient.square().sum().sqrt() - 1) ** 2)
    return torch.stack(terms).mean()


def critic_objective(layers: list[tuple[Tensor, Tensor]], real: Tensor, fake: Tensor, described: Tensor) -> float:
    """E[D(fake, a)] - E[D(real, a)], which the critic minimises."""
    pairs = list(zip(real, fake, described, strict=True))
    return sum(float(score(layers, y, a)) - float(score(layers, x, a)) for x, y, a in pairs) / len(pairs)
