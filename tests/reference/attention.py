"""Attention maps by the letter: loops over images, positions and channels, and bilinear weights by hand."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def attention_maps(features: Floats, height: int, width: int) -> Floats:
    """(B, D, H, W) to (B, height, width): sum of squares over channels, over its maximum, then enlarged."""
    batch, depth, rows, columns = features.shape
    found = np.zeros((batch, height, width))
    for b in range(batch):
        small = np.zeros((rows, columns))
        for h in range(rows):
            for w in range(columns):
                small[h, w] = sum(float(features[b, d, h, w]) ** 2 for d in range(depth))
        if small.max() > 0:
            small = small / small.max()
        for y in range(height):
            for x in range(width):
                found[b, y, x] = bilinear(small, (y + 0.5) * rows / height - 0.5, (x + 0.5) * columns / width - 0.5)
    return found


def bilinear(small: Floats, y: float, x: float) -> float:
    """The value at (y, x) between the four nearest positions; beyond the outer centres, the edge's."""
    y, x = max(y, 0.0), max(x, 0.0)
    top, left = math.floor(y), math.floor(x)
    total = 0.0
    for dy in (0, 1):
        for dx in (0, 1):
            weight = (1 - abs(y - (top + dy))) * (1 - abs(x - (left + dx)))
            total += weight * small[min(top + dy, small.shape[0] - 1), min(left + dx, small.shape[1] - 1)]
    return total


def standardised(small: Floats) -> Floats:
    """(M - mean) / std over the map's places (paper 004, Eq. 2); a constant map gives zeros."""
    places = [(h, w) for h in range(small.shape[0]) for w in range(small.shape[1])]
    mean = sum(small[place] for place in places) / len(places)
    std = math.sqrt(sum((small[place] - mean) ** 2 for place in places) / len(places))
    return np.array([[(value - mean) / std if std > 0 else 0.0 for value in row] for row in small])


def strongest(small: Floats, share: float = 0.2) -> set[tuple[int, int]]:
    """The places of the `share` largest values, rounded up; the values must differ."""
    places = [(h, w) for h in range(small.shape[0]) for w in range(small.shape[1])]
    return set(sorted(places, key=lambda place: small[place])[-math.ceil(share * len(places)) :])


def overlap(members: list[list[Floats]]) -> float:
    """Percent: |A and B| / |A or B| of the standardised maps' strongest places, mean over images and pairs."""
    found = []
    for one in range(len(members)):
        for other in range(one):
            for a, b in zip(members[one], members[other], strict=True):
                first, second = strongest(standardised(a)), strongest(standardised(b))
                found.append(len(first & second) / len(first | second))
    return 100 * sum(found) / len(found)


def correlation(members: list[list[Floats]]) -> float:
    """The mean over places of the product of standardised maps, mean over images and pairs."""
    found = []
    for one in range(len(members)):
        for other in range(one):
            for a, b in zip(members[one], members[other], strict=True):
                found.append(float((standardised(a) * standardised(b)).sum()) / a.size)
    return sum(found) / len(found)
