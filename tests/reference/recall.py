"""Recall@k by the letter: a loop over queries, one over their galleries, integers for similarities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def recall_at_k(
    embeddings: NDArray[np.float64],
    labels: Sequence[int],
    ks: Sequence[int],
    *,
    gallery: NDArray[np.float64] | None = None,
    gallery_labels: Sequence[int] | None = None,
    within: Sequence[int] | None = None,
    gallery_within: Sequence[int] | None = None,
) -> dict[int, float]:
    """Percent of labelled queries with a positive among the first k; ties go to negatives."""
    alone = gallery is None
    pool = embeddings if gallery is None else gallery
    pool_labels = labels if gallery_labels is None else gallery_labels
    pool_within = within if alone else gallery_within
    hits, queries = dict.fromkeys(ks, 0), 0
    for q in range(len(embeddings)):
        if labels[q] < 0 or (within is not None and within[q] < 0):
            continue
        queries += 1
        neighbours: list[tuple[int, int]] = []
        for g in range(len(pool)):
            if alone and g == q:
                continue
            if within is not None and pool_within is not None and pool_within[g] != within[q]:
                continue
            positive = int(pool_labels[g] == labels[q])
            neighbours.append((-similarity(embeddings[q], pool[g]), positive))  # 0 sorts before 1
        neighbours.sort()
        for k in ks:
            hits[k] += any(positive for _, positive in neighbours[:k])
    return {k: 100.0 * hits[k] / queries for k in ks}


def similarity(a: NDArray[np.float64], b: NDArray[np.float64]) -> int:
    """The dot product of the unit vectors in steps of 2^-24, times 2^48, exactly."""
    return sum(x * y for x, y in zip(_grid(a), _grid(b), strict=True))


def _grid(row: NDArray[np.float64]) -> list[int]:
    length = float(np.sqrt(np.sum(row * row)))
    return [round(float(x) / length * 2**24) if length > 0 else 0 for x in row]


def nearest(
    query: NDArray[np.float64],
    gallery: NDArray[np.float64] | None,
    k: int,
    *,
    exclude_self: bool = False,
    within: Sequence[int] | None = None,
    gallery_within: Sequence[int] | None = None,
) -> list[list[tuple[float, int]]]:
    """For each query its k nearest as (similarity, row), the lower row first of equals; fewer where there are fewer."""
    pool = query if gallery is None else gallery
    pool_within = within if gallery is None else gallery_within
    found = []
    for q in range(len(query)):
        rows = []
        for g in range(len(pool)):
            if exclude_self and g == q:
                continue
            if within is not None and pool_within is not None and (within[q] < 0 or within[q] != pool_within[g]):
                continue
            rows.append((-similarity(query[q], pool[g]), g))
        found.append([(-negative / 2.0**48, g) for negative, g in sorted(rows)[:k]])
    return found
