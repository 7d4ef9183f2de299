"""Unit vectors, the centres of clusters, and how firmly a vector belongs to its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Belonging", "belonging", "centres_of", "units"]

Vectors = NDArray[np.float32]
Labels = NDArray[np.int64]

_LEAST = 1e-12
_BLOCK = 1 << 12


@dataclass(frozen=True)
class Belonging:
    """How n vectors lie to the centres of their own and of other clusters.

    Attributes:
        similarity: cosine with the own centre, float32 (n,); NaN in no cluster.
        second: the nearest other cluster's number, int64 (n,); -1 where there is none.
        strength: float32 (n,), -1 to 1: (e - d) / max(e, d) with d = 1 - cosine to the own centre and e to the nearest
            other one, the simplified silhouette (Hruschka, de Castro & Campello 2004): 1 at the own centre, 0 half way,
            below 0 nearer to the other. 1 where there is one cluster only, 0 for a vector in none.
    """

    similarity: Vectors
    second: Labels
    strength: Vectors


def units(rows: NDArray[np.floating]) -> Vectors:
    """Rows (n, D) at length 1, float32; a row of zeros stays.

    Raises:
        ValueError: a value is not finite.
    """
    if not np.isfinite(rows).all():
        row = int(np.flatnonzero(~np.isfinite(rows).all(1))[0])
        raise ValueError(f"row {row} has a value that is not finite")
    scaled = np.empty(rows.shape, np.float32)
    for start in range(0, len(rows), _BLOCK):  # in float64, but never all at once
        block = rows[start : start + _BLOCK].astype(np.float64)
        lengths = np.sqrt(np.einsum("nd,nd->n", block, block))
        scaled[start : start + _BLOCK] = block / np.maximum(lengths, _LEAST)[:, None]
    return scaled


def centres_of(vectors: Vectors, labels: Labels, numbers: Labels) -> Vectors:
    """The mean direction of each cluster of `numbers`: float32 (K, D), length 1; 0 for one without members."""
    sums = np.stack([vectors[labels == number].sum(0, dtype=np.float64) for number in numbers.tolist()])
    return units(sums)


def belonging(vectors: Vectors, labels: Labels, numbers: Labels) -> Belonging:
    """How vectors (n, D) of one coarse class lie to its clusters; labels (n,) are among `numbers` (K,) or -1."""
    n = len(vectors)
    similarity = np.full(n, np.nan, np.float32)
    second, strength = np.full(n, -1, np.int64), np.zeros(n, np.float32)
    if not len(numbers):
        return Belonging(similarity, second, strength)
    cosines = vectors @ centres_of(vectors, labels, numbers).T
    inside = labels >= 0
    own = np.searchsorted(numbers, labels[inside])
    rows = np.flatnonzero(inside)
    similarity[rows] = cosines[rows, own]
    if len(numbers) == 1:
        strength[rows] = 1.0
        return Belonging(similarity, second, strength)
    d = np.maximum(0, 1 - cosines[rows, own])
    cosines[rows, own] = -np.inf  # the nearest of the others; of all where an image is in no cluster
    second = numbers[cosines.argmax(1)]
    e = np.maximum(0, 1 - cosines.max(1)[rows])
    strength[rows] = (e - d) / np.maximum(np.maximum(d, e), _LEAST)
    return Belonging(similarity, second, strength)
