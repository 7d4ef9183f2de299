"""Paper 000's equations, slowly and literally, in float64."""

from __future__ import annotations

import torch
from torch import Tensor


def distance(one: Tensor, other: Tensor) -> Tensor:
    """d of Eq. 1: the cosine distance of two vectors."""
    return 1 - (one @ other) / (one.norm() * other.norm())


def semantic_alignment(embedding: Tensor, anchors: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """Eq. 1, the mean over images: d[f_v(x), g(a(y_b))] - log softmax of the classifier."""
    losses = []
    for f, scores, label in zip(embedding, logits, labels.tolist(), strict=True):
        exponentials = [s.exp() for s in scores]
        losses.append(distance(f, anchors[label]) - (exponentials[label] / sum(exponentials)).log())
    return torch.stack(losses).mean()


def nearest(embedding: Tensor, anchors: Tensor, among: list[int]) -> int:
    """Eq. 2 and 7: the class among some whose anchor is nearest to one embedding."""
    return min(among, key=lambda y: float(distance(embedding, anchors[y])))


def candidates(coarse: int, membership: Tensor) -> list[int]:
    """Eq. 5: the fine classes of a coarse one, from the mapping matrix T."""
    return [y for y in range(membership.shape[1]) if bool(membership[coarse, y])]


def subordinate_entropy(embedding: Tensor, anchors: Tensor, coarse: list[int], membership: Tensor) -> Tensor:
    """Eq. 6, the mean over images, of each image's predicted coarse class."""
    losses = [
        torch.stack([distance(f, anchors[y]) for y in candidates(c, membership)]).min()
        for f, c in zip(embedding, coarse, strict=True)
    ]
    return torch.stack(losses).mean()


def pairwise_bilinear(z: Tensor, maps: Tensor) -> Tensor:
    """Eq. 3 and 4 of one image: z (D, H, W), R (K, H, W) to (D, D), pair by pair and place by place."""
    parts, (dim, height, width) = len(maps), z.shape
    total = torch.zeros(dim, dim, dtype=z.dtype)
    for i in range(parts - 1):
        for j in range(i + 1, parts):
            for row in range(height):
                for column in range(width):
                    a = maps[i, row, column] * z[:, row, column]
                    b = maps[j, row, column] * z[:, row, column]
                    total += torch.outer(a, b)
    return total


def ridge(rows: Tensor, targets: Tensor, strength: float) -> tuple[Tensor, Tensor]:
    """Weight (A, D) and bias (A,) of min sum |W x + b - t|^2 + strength s |W|^2, by least squares on stacked rows."""
    middle, goal = rows.mean(0), targets.mean(0)
    x, t = rows - middle, targets - goal
    penalty = strength * x.square().sum() / x.shape[1]
    stacked = torch.cat([x, penalty.sqrt() * torch.eye(x.shape[1], dtype=x.dtype)])
    zeros = torch.zeros(x.shape[1], t.shape[1], dtype=t.dtype)
    weight = torch.linalg.lstsq(stacked, torch.cat([t, zeros])).solution.T
    return weight, goal - weight @ middle
