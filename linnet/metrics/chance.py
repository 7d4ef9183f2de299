"""What guessing scores: the floors that stand beside every figure, in the figure's own unit (mostly percent)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["distance_chance", "implied_coarse_chance", "recall_chance", "severity_chance", "top_k_chance"]

Labels = NDArray[np.integer]


def top_k_chance(classes: int, ks: Sequence[int] = (1, 5)) -> dict[int, float]:
    """Expected top-k accuracy of k different classes guessed uniformly at random: 100 min(k, C) / C.

    It holds for any distribution of the labels over the C `classes`.

    Raises:
        ValueError: no class, or a k below 1.
    """
    if classes < 1 or not ks or min(ks) < 1:
        raise ValueError(f"{classes} classes, ks {tuple(ks)}; need at least one class, and every k at least 1")
    return {int(k): 100.0 * min(k, classes) / classes for k in ks}


def recall_chance(
    labels: Labels,
    ks: Sequence[int] = (1, 2, 4, 8),
    *,
    gallery_labels: Labels | None = None,
    within: Labels | None = None,
    gallery_within: Labels | None = None,
) -> dict[int, float]:
    """Expected recall@k when the neighbours are drawn at random: what an embedding without information
    scores.

    For a query with P positives in a gallery of M images, k different ones drawn (hypergeometric):

        P(hit) = 1 - C(M - P, k) / C(M, k) = 1 - prod_{i<k} (M - P - i) / (M - i)

    The conventions are those of `linnet.metrics.recall.recall_at_k`: leave-one-out without
    `gallery_labels`; -1 is no query but a distractor; no positive is a miss; `within` restricts the
    gallery. Note that an embedding collapsed to one point scores 0, below this floor, because ties are
    pessimistic.

    Args:
        labels: (n,) integers.
        ks: which k, each at least 1.
        gallery_labels: (m,) integers.
        within: (n,) integers; with a gallery also `gallery_within` (m,).
        gallery_within: (m,) integers.

    Raises:
        ValueError: shapes do not fit, a k is below 1, or no query is labelled.
    """
    if not ks or min(ks) < 1:
        raise ValueError(f"ks is {tuple(ks)}; need one or more numbers, each at least 1")
    label, group, pool, pool_group = _sides(labels, gallery_labels, within, gallery_within)
    itself = int(gallery_labels is None)  # not in its own gallery
    asked = (label >= 0) & (group >= 0)
    if not asked.any():
        raise ValueError("no query has a label (all are -1): there is nothing to score")
    kinds, times = np.unique(np.stack([group[asked], label[asked]]), axis=1, return_counts=True)
    hits = np.zeros((len(times), len(ks)))
    for row, (g, c) in enumerate(kinds.T):
        here = pool[pool_group == g]
        hits[row] = [_hit(len(here) - itself, int((here == c).sum()) - itself, k) for k in ks]
    expected = 100.0 * (times @ hits) / times.sum()
    return {int(k): float(value) for k, value in zip(ks, expected, strict=True)}


def distance_chance(labels: Labels, distance: Labels) -> float:
    """Expected hierarchical distance@k, for any k, of classes guessed uniformly at random, in levels.

    Args:
        labels: (n,) integers, -1 unknown and skipped.
        distance: (F, F) heights of lowest common ancestors.

    Raises:
        ValueError: no image is labelled.
    """
    return float(_sums(labels, distance).mean() / len(distance))


def severity_chance(labels: Labels, distance: Labels) -> float | None:
    """Expected mistake severity of a wrong class guessed uniformly at random, in levels; None with a single class.

    Args and errors: as `distance_chance`.
    """
    return None if len(distance) == 1 else float(_sums(labels, distance).mean() / (len(distance) - 1))


def implied_coarse_chance(coarse: Labels, parent: Labels) -> float:
    """Expected accuracy of the coarse class that follows from a fine class guessed uniformly at random, in percent.

    Args:
        coarse: (n,) coarse classes, -1 unknown and skipped.
        parent: (F,) the coarse class of each fine class.

    Raises:
        ValueError: no image is labelled.
    """
    known = np.asarray(coarse)[np.asarray(coarse) >= 0]
    if not len(known):
        raise ValueError("no image has a label (all are -1): there is nothing to score")
    children = np.bincount(parent, minlength=int(known.max()) + 1)
    return float(100.0 * children[known].mean() / len(parent))


def _sums(labels: Labels, distance: Labels) -> NDArray[np.int64]:
    """Sum of the distances from the class of each labelled image to every class, (m,)."""
    known = np.asarray(labels)[np.asarray(labels) >= 0]
    if not len(known):
        raise ValueError("no image has a label (all are -1): there is nothing to score")
    sums: NDArray[np.int64] = np.asarray(distance).sum(1, dtype=np.int64)
    return sums[known]


def _sides(
    labels: Labels, gallery_labels: Labels | None, within: Labels | None, gallery_within: Labels | None
) -> tuple[NDArray[np.int64], ...]:
    """Labels and groups of the queries and of the gallery; one group of all where `within` is not given."""
    if (gallery_labels is None or within is None) != (gallery_within is None):
        raise ValueError("gallery_within is needed exactly when both gallery_labels and within are given")
    label = np.asarray(labels, dtype=np.int64)
    group = np.zeros_like(label) if within is None else np.asarray(within, dtype=np.int64)
    if gallery_labels is None:
        pool, pool_group = label, group
    else:
        pool = np.asarray(gallery_labels, dtype=np.int64)
        pool_group = np.zeros_like(pool) if gallery_within is None else np.asarray(gallery_within, np.int64)
    for one, other in ((label, group), (pool, pool_group)):
        if one.ndim != 1 or one.shape != other.shape:
            raise ValueError(f"labels {one.shape} with within {other.shape}: need one number an image for both")
    return label, group, pool, pool_group


def _hit(images: int, positives: int, k: int) -> float:
    """Chance that k of `images`, drawn without replacement, hold one of the `positives`."""
    if positives < 1:
        return 0.0
    if k > images - positives:
        return 1.0
    drawn = np.arange(k)
    return float(1.0 - np.prod((images - positives - drawn) / (images - drawn)))
