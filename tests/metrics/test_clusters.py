"""Cluster measures against scikit-learn, and best matching against all permutations."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from linnet.metrics.clusters import adjusted_rand, contingency, matched, normalised_mutual_information

LABELS = st.integers(1, 40).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(0, 4), min_size=n, max_size=n)] * 2).map(
        lambda both: tuple(np.array(each) for each in both)
    )
)


@given(LABELS)
def test_as_scikit_learn_has_it(labels: tuple[np.ndarray, np.ndarray]) -> None:
    a, b = labels
    assert normalised_mutual_information(a, b) == pytest.approx(normalized_mutual_info_score(a, b), abs=1e-9)
    assert adjusted_rand(a, b) == pytest.approx(adjusted_rand_score(a, b), abs=1e-9)


@given(LABELS)
def test_no_matching_is_better(labels: tuple[np.ndarray, np.ndarray]) -> None:
    a, b = labels
    best = max(sum(int(chosen[x] == y) for x, y in zip(a, b, strict=True)) for chosen in permutations(range(5)))
    assert matched(a, b) == best
    assert matched(np.where(a == 0, -1, a), b) <= best


def test_what_is_in_no_cluster_is_not_right() -> None:
    assert matched(np.array([-1, -1, 1]), np.array([0, 0, 1])) == 1
    with pytest.raises(ValueError, match="one of each"):
        contingency(np.zeros(2, np.int64), np.zeros(3, np.int64))
