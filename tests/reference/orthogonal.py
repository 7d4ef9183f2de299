"""Eq. 1-6 of paper 004 in loops over Python numbers; nothing here is fast, or knows of rounding."""

from __future__ import annotations

import math

from torch import Tensor

__all__ = ["attention", "ensemble_loss", "orthogonal", "standard"]


def attention(features: Tensor) -> list[list[float]]:
    """Eq. 1 for one image: GAP(F) times F, then the mean over channels; features (D, H, W)."""
    channels, height, width = features.shape
    values = features.double().tolist()
    pooled = [sum(sum(row) for row in channel) / (height * width) for channel in values]
    return [
        [sum(pooled[c] * values[c][y][x] for c in range(channels)) / channels for x in range(width)]
        for y in range(height)
    ]


def standard(image: list[list[float]]) -> list[list[float]]:
    """Eq. 2 for one image; a constant map gives 0."""
    places = [value for row in image for value in row]
    mean = sum(places) / len(places)
    deviation = math.sqrt(sum((value - mean) ** 2 for value in places) / len(places))
    if deviation <= 1e-6 * abs(mean):
        return [[0.0 for _ in row] for row in image]
    return [[(value - mean) / deviation for value in row] for row in image]


def orthogonal(student: Tensor, teacher: Tensor) -> float:
    """Eq. 3-5, the mean over images and places; features (B, D, H, W)."""
    total, count = 0.0, 0
    for ours, theirs in zip(student, teacher, strict=True):
        for row, other in zip(standard(attention(ours)), standard(attention(theirs)), strict=True):
            for value, seen in zip(row, other, strict=True):
                total += abs(seen) * max(value, 0.0)
                count += 1
    return total / count


def ensemble_loss(cross_entropy: float, student: Tensor, teachers: list[Tensor], alpha: float) -> float:
    """Eq. 6: CE plus alpha times the mean of the teachers' losses."""
    if not teachers:
        return cross_entropy
    return cross_entropy + sum(alpha * orthogonal(student, teacher) for teacher in teachers) / len(teachers)
