"""Grad-CAM by the letter, with the gradient by finite differences."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def grad_cam(features: Tensor, score: Callable[[Tensor], Tensor]) -> Tensor:
    """Features of one image (D, H, W), float64, and the score of such features: max(0, sum_d a_d F_d), (H, W).

    a_d is the mean over places of the score's derivative by F_d (Selvaraju et al. 2017, Eq. 1-2).
    """
    depth, rows, columns = features.shape
    total = torch.zeros(rows, columns, dtype=features.dtype)
    for d in range(depth):
        slopes = []
        for h in range(rows):
            for w in range(columns):
                up, down = features.clone(), features.clone()
                up[d, h, w] += 1e-5
                down[d, h, w] -= 1e-5
                slopes.append((score(up) - score(down)) / 2e-5)
        total = total + sum(slopes) / len(slopes) * features[d]
    return torch.where(total > 0, total, 0.0)
