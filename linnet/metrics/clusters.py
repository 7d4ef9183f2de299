"""How clusters fit known classes: best matching, mutual information, pairs; all need no names of clusters."""

from __future__ import annotations

from math import comb

import numpy as np
from numpy.typing import NDArray

__all__ = ["adjusted_rand", "contingency", "matched", "normalised_mutual_information"]

Labels = NDArray[np.int64]


def contingency(clusters: Labels, classes: Labels) -> NDArray[np.int64]:
    """How many rows each pair of a cluster and a class has, int64 (K, F), in ascending order of both numbers.

    Raises:
        ValueError: labels (n,) of different lengths.
    """
    if clusters.shape != classes.shape or clusters.ndim != 1:
        raise ValueError(f"labels of shapes {clusters.shape} and {classes.shape}; need one of each for each row")
    a, i = np.unique(clusters, return_inverse=True)
    b, j = np.unique(classes, return_inverse=True)
    table = np.zeros((len(a), len(b)), np.int64)
    np.add.at(table, (i, j), 1)
    return table


def matched(clusters: Labels, classes: Labels, none: int = -1) -> int:
    """How many rows are right when each cluster stands for one class, each class for one cluster, as well as can be.

    The Hungarian method (Kuhn 1955) finds the matching. Rows in the cluster `none` are in no cluster, and not right.
    """
    from scipy.optimize import linear_sum_assignment

    inside = clusters != none
    table = contingency(clusters[inside], classes[inside])
    return int(table[linear_sum_assignment(table, maximize=True)].sum())


def normalised_mutual_information(a: Labels, b: Labels) -> float:
    """2 I(a; b) / (H(a) + H(b)), 0 to 1; 1 where both have one class only, as scikit-learn has it."""
    table = contingency(a, b).astype(np.float64)
    joint = table / max(1.0, table.sum())
    rows, columns = joint.sum(1), joint.sum(0)
    entropies = _entropy(rows) + _entropy(columns)
    if entropies == 0:
        return 1.0
    inside = joint > 0
    mutual = float((joint[inside] * np.log(joint[inside] / np.outer(rows, columns)[inside])).sum())
    return min(1.0, max(0.0, 2 * mutual / entropies))


def _entropy(shares: NDArray[np.float64]) -> float:
    inside = shares[shares > 0]
    return float(-(inside * np.log(inside)).sum()) if len(inside) > 1 else 0.0


def adjusted_rand(a: Labels, b: Labels) -> float:
    """The adjusted Rand index (Hubert & Arabie 1985): 1 for the same partition, 0 on average for random ones."""
    table = contingency(a, b)
    pairs = _pairs(table)
    rows, columns, whole = _pairs(table.sum(1)), _pairs(table.sum(0)), comb(int(table.sum()), 2)
    if rows == columns == pairs:  # the same partition, whatever the number of clusters
        return 1.0
    expected = rows * columns / whole
    return (pairs - expected) / ((rows + columns) / 2 - expected)


def _pairs(counts: NDArray[np.int64]) -> int:
    """How many pairs there are within groups of these sizes, exactly."""
    return int((counts * (counts - 1) // 2).sum())
