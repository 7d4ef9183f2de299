"""Graph convolution over classes, slowly and literally, in float64."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def cosine(one: Tensor, other: Tensor) -> float:
    """Of two vectors."""
    return float(one @ other) / math.sqrt(float(one @ one) * float(other @ other))


def joined(attributes: Tensor, neighbours: int, edges: set[tuple[int, int]] = frozenset()) -> list[set[int]]:  # type: ignore[assignment]
    """The nodes that each node is joined to, itself among them; no two pairs may be equally alike."""
    count = len(attributes)
    found: list[set[int]] = [{node} for node in range(count)]
    for node in range(count):
        others = [other for other in range(count) if other != node]
        others.sort(key=lambda other: -cosine(attributes[node], attributes[other]))
        for other in [*others[:neighbours], *(b for a, b in edges if a == node), *(a for a, b in edges if b == node)]:
            found[node].add(other)
            found[other].add(node)
    return found


def layer(values: Tensor, neighbours: list[set[int]], weight: Tensor, bias: Tensor, slope: float) -> Tensor:
    """One graph convolution, node by node: the mean over a node's neighbours and itself of W^T h, plus b, leaky."""
    rows = []
    for near in neighbours:
        total = torch.zeros(len(weight), dtype=values.dtype)
        for node in near:
            total += weight @ values[node]
        mean = total / len(near) + bias
        rows.append(torch.stack([v if v > 0 else slope * v for v in mean]))
    return torch.stack(rows)


def regression(found: Tensor, weight: Tensor) -> float:
    """1 / (2 M) sum over M classes and dimensions of (found - weight)^2, both at unit length (Wang et al., Eq. 4)."""
    total = 0.0
    for w_hat, w in zip(found, weight, strict=True):
        for a, b in zip((w_hat / w_hat.norm()).tolist(), (w / w.norm()).tolist(), strict=True):
            total += (a - b) ** 2
    return total / (2 * len(found))
