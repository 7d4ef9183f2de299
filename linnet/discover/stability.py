"""How many clusters there are, by what stays the same when the images change.

For a number of clusters k: cluster two disjoint random halves, give every image of the coarse class to the nearest
centre of each, and compare the two partitions by the adjusted Rand index (0: as alike as by chance). The mean over
pairs of halves is the stability t(k); it is that of Ben-Hur, Elisseeff & Guyon (2002) and Lange et al. (2004), with
halves that share no image and are extended by the classifier that k-means itself is (Tibshirani & Walther 2005).
Directions of large variance are cut at the same place again and again even where nothing lies apart, so t is compared
with t0(k), the same on vectors drawn from a Gaussian with the class's own mean and covariance, as Clest does with its
reference (Dudoit & Fridlyand 2002): the number with the greatest t - t0 is chosen among those that stand clearly above
their reference and for which halves agree at least half-way between chance and perfectly, t >= 0.5; where there is none
such, 1. Without the latter rule, chance differences split small coarse classes that have no parts into many.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from linnet.discover.clustering import nearest_centre, spherical_k_means
from linnet.discover.geometry import Labels, Vectors, centres_of, units
from linnet.metrics.clusters import adjusted_rand
from linnet.randomness import generator, permutation

__all__ = ["Tried", "choose_number", "clusterwise"]

_CLEAR, _FIRM = 0.05, 0.5
"""By how much t must exceed t0, and how large it must be itself."""


@dataclass(frozen=True)
class Tried:
    """A number of clusters: the mean adjusted Rand index of pairs of halves, the same on the reference, and whether it
    may be chosen.
    """

    number: int
    stability: float
    reference: float
    clear: bool


def choose_number(
    vectors: Vectors, most: int, least: int, seed: int, numbers: tuple[int, ...] = (), *, repeats: int, sample: int
) -> tuple[int, list[Tried]]:
    """The number of clusters of unit vectors (n, D), and what was tried; see the module's text.

    Args:
        most: the largest number tried.
        least: the fewest images a cluster has, on average.
        seed, numbers: key of the draws.
        repeats, sample: pairs of halves, and images of a half at most.
    """
    n = len(vectors)
    tried = []
    for k in range(2, min(most, n // max(least, 4)) + 1):
        real = [_agreement(vectors, k, seed, (*numbers, r), sample) for r in range(repeats)]
        null = [
            _agreement(_reference(vectors, sample, seed, (*numbers, r)), k, seed, (*numbers, r), sample)
            for r in range(repeats)
        ]
        t, t0 = float(np.mean(real)), float(np.mean(null))
        spread = float(np.std(null, ddof=1) + np.std(real, ddof=1)) / np.sqrt(repeats)
        tried.append(Tried(k, t, t0, bool(t >= _FIRM and t - t0 > max(_CLEAR, 2 * spread))))
    clear = [each for each in tried if each.clear]
    best = max(clear, key=lambda each: (each.stability - each.reference, -each.number), default=None)
    return (best.number if best else 1), tried


def _agreement(vectors: Vectors, k: int, seed: int, numbers: tuple[int, ...], sample: int) -> float:
    """The adjusted Rand index of what two disjoint halves make of vectors."""
    order = permutation(len(vectors), seed, "halves", *numbers)
    size = min(sample, len(vectors) // 2)
    judged = np.sort(order[: 2 * size])
    found = []
    for side in range(2):
        half = vectors[np.sort(order[side * size : (side + 1) * size])]
        labels = spherical_k_means(half, k, seed, *numbers, k, side, starts=3)
        found.append(nearest_centre(vectors[judged], centres_of(half, labels, np.arange(labels.max() + 1))))
    return adjusted_rand(*found)


def _reference(vectors: Vectors, sample: int, seed: int, numbers: tuple[int, ...]) -> Vectors:
    """Unit vectors like `vectors` in number, mean and covariance, of a Gaussian, without clusters."""
    draw = generator(seed, "reference", *numbers)
    size = min(2 * sample, len(vectors))
    rows = vectors[np.sort(permutation(len(vectors), seed, "reference", *numbers)[:size])].astype(np.float64)
    mean = rows.mean(0)
    noise = draw.standard_normal((size, size)) @ ((rows - mean) / np.sqrt(max(1, size - 1)))
    return units(mean + noise)


def clusterwise(labels: Labels, again: list[tuple[Labels, Labels]]) -> list[float]:
    """The stability of each cluster 0 .. K-1: the mean Jaccard similarity to the most alike cluster found again.

    Args:
        labels: int64 (n,).
        again: of each repetition, the places (m,) of its part and the labels (m,) found there.
    """
    count = labels.max(initial=-1) + 1
    sums, times = np.zeros(count), np.zeros(count)
    for places, other in again:
        table = np.zeros((count, other.max(initial=-1) + 2))
        inside = labels[places] >= 0
        np.add.at(table, (labels[places][inside], other[inside]), 1)  # what is in no cluster comes last
        size, found = table.sum(1), np.bincount(other[other >= 0], minlength=table.shape[1] - 1)
        shared = table[:, :-1]
        jaccard = shared / np.maximum(1, size[:, None] + found[None, :] - shared)
        there = size > 0
        sums[there] += jaccard.max(1, initial=0)[there]
        times[there] += 1
    return [float(each) for each in sums / np.maximum(times, 1)]
