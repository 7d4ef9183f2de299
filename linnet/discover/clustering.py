"""The two ways to cluster unit vectors of one coarse class, in bounded memory."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from linnet.discover.geometry import Labels, Vectors, centres_of, units
from linnet.randomness import key, permutation

__all__ = ["by_size", "components", "dense_places", "nearest_centre", "spherical_k_means"]

_MANY = 20_000
"""From here on k-means takes small batches, and HDBSCAN a sample."""

_ROUNDS = 100
_BLOCK = 1 << 14


def components(vectors: Vectors, count: int, seed: int) -> Vectors:
    """The first `count` principal components of vectors (n, D), at length 1: float32 (n, count).

    What all images of a coarse class share is taken away with the mean. Fitted on at most 20,000 of them; columns
    beyond the rank are 0.
    """
    from sklearn.decomposition import PCA

    n, width = vectors.shape
    drawn = vectors[np.sort(permutation(n, seed, "PCA")[:_MANY])]
    rank = min(count, width, len(drawn) - 1)
    result = np.zeros((n, count), np.float32)
    if rank < 1:
        return result
    solver = "covariance_eigh" if len(drawn) > 2 * width else "full"  # by the shorter side of the matrix
    pca = PCA(rank, svd_solver=solver).fit(drawn.astype(np.float64))
    for start in range(0, n, _BLOCK):
        result[start : start + _BLOCK, :rank] = pca.transform(vectors[start : start + _BLOCK].astype(np.float64))
    return units(result)


def nearest_centre(vectors: Vectors, centres: Vectors) -> Labels:
    """The centre (K, D) with the greatest cosine to each vector (n, D): int64 (n,)."""
    parts = [(vectors[start : start + _BLOCK] @ centres.T).argmax(1) for start in range(0, len(vectors), _BLOCK)]
    return np.concatenate(parts).astype(np.int64) if parts else np.empty(0, np.int64)


def spherical_k_means(vectors: Vectors, count: int, seed: int, *numbers: int, starts: int = 10) -> Labels:
    """Cluster unit vectors (n, D) by cosine (Dhillon & Modha 2001): int64 (n,), 0 .. K-1 by falling size.

    scikit-learn's k-means, of `starts` starts the best, gives the first centres (small batches from 20,000 vectors
    on); then centres are mean directions, until no vector changes its cluster. There are fewer than `count` clusters
    where there are fewer different vectors.

    Args:
        seed, numbers: key of the draws.
    """
    centres = _first_centres(vectors, min(count, len(vectors)), key(seed, "k-means", *numbers) % 2**32, starts)
    labels = nearest_centre(vectors, centres)
    for _ in range(_ROUNDS):
        moved = centres_of(vectors, labels, np.arange(len(centres)))
        again = nearest_centre(vectors, moved)
        if (again == labels).all():
            break
        labels = again
    return by_size(labels)


def _first_centres(vectors: Vectors, count: int, state: int, starts: int) -> Vectors:
    """Centres of k-means by Euclidean distance, at length 1."""
    from sklearn.cluster import KMeans, MiniBatchKMeans
    from sklearn.exceptions import ConvergenceWarning

    if count <= 1:
        return units(vectors.sum(0, dtype=np.float64, keepdims=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different vectors than clusters: said by the result
        if len(vectors) >= _MANY:
            model = MiniBatchKMeans(count, n_init=3, batch_size=4096, random_state=state, reassignment_ratio=0)
        else:
            model = KMeans(count, n_init=starts, random_state=state)
        model.fit(vectors)
    found: NDArray[np.floating] = model.cluster_centers_
    return units(found)


def dense_places(vectors: Vectors, least: int, seed: int, *numbers: int) -> Labels:
    """HDBSCAN (Campello, Moulavi & Sander 2013) by the distance of unit vectors: int64 (n,), -1 in no dense place.

    Of more than 20,000 vectors that many are clustered; each other one follows the nearest of them.
    """
    from sklearn.cluster import HDBSCAN
    from sklearn.neighbors import NearestNeighbors

    if len(vectors) <= least:
        return np.full(len(vectors), -1, np.int64)
    drawn = np.sort(permutation(len(vectors), seed, "HDBSCAN", *numbers)[:_MANY])
    model = HDBSCAN(min_cluster_size=least, copy=True).fit(vectors[drawn])
    found = model.labels_.astype(np.int64)
    if len(drawn) < len(vectors):
        finder = NearestNeighbors(n_neighbors=1).fit(vectors[drawn])
        parts = [
            finder.kneighbors(vectors[start : start + _BLOCK], return_distance=False)[:, 0]
            for start in range(0, len(vectors), _BLOCK)
        ]
        found = found[np.concatenate(parts)]
    return by_size(found)


def by_size(labels: Labels) -> Labels:
    """Labels (n,) numbered anew by falling size, of equal ones by their first member; -1 stays."""
    numbers, first, counts = np.unique(labels, return_index=True, return_counts=True)
    inside = numbers >= 0
    order = np.lexsort((first[inside], -counts[inside]))
    fresh = np.empty(len(order), np.int64)
    fresh[order] = np.arange(len(order))
    result = np.full(len(labels), -1, np.int64)
    known = labels >= 0
    result[known] = fresh[np.searchsorted(numbers[inside], labels[known])]
    return result
