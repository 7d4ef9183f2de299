"""Chance levels against enumeration and simulation."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from linnet.metrics.chance import recall_chance, top_k_chance
from linnet.metrics.recall import recall_at_k


def enumerate_draws(labels: list[int], k: int) -> float:
    """Every possible set of k neighbours of every labelled query, by hand."""
    chances = []
    for q, label in enumerate(labels):
        if label >= 0:
            others = [other for g, other in enumerate(labels) if g != q]
            draws = list(combinations(others, min(k, len(others))))
            chances.append(sum(label in draw for draw in draws) / len(draws))
    return 100.0 * sum(chances) / len(chances)


@settings(deadline=None)
@given(st.lists(st.integers(-1, 3), min_size=1, max_size=8).filter(lambda x: max(x) >= 0), st.integers(1, 9))
def test_recall_chance_equals_enumeration(labels: list[int], k: int) -> None:
    assert recall_chance(np.array(labels), (k,))[k] == pytest.approx(enumerate_draws(labels, k))


def test_random_embeddings_score_chance() -> None:
    draw = np.random.default_rng(11)
    fine = draw.integers(-1, 12, 240)
    coarse = np.where(fine < 0, draw.integers(0, 3, 240), fine // 4)
    other = draw.integers(0, 12, 100)
    cases = [
        {},
        {"within": coarse},
        {"gallery_labels": other},
        {"gallery_labels": other, "within": coarse, "gallery_within": other // 4},
    ]
    for case in cases:
        figures = []
        for _ in range(16):
            rows = torch.from_numpy(draw.normal(size=(240, 8)))
            gallery = {"gallery": torch.from_numpy(draw.normal(size=(100, 8)))} if "gallery_labels" in case else {}
            figures.append(list(recall_at_k(rows, fine, (1, 4), **case, **gallery).values()))
        expected = list(recall_chance(fine, (1, 4), **case).values())
        error = np.std(figures, axis=0) / 16**0.5
        assert np.all(np.abs(np.mean(figures, axis=0) - expected) < 4.5 * error)


def test_known_figures() -> None:
    fine = np.repeat(np.arange(100), 100)  # the test images of CIFAR-100
    assert recall_chance(fine, (1,))[1] == pytest.approx(100 * 99 / 9999)
    assert recall_chance(fine, (1,), within=fine // 5)[1] == pytest.approx(100 * 99 / 499)
    assert top_k_chance(20, (1, 5, 50)) == {1: 5.0, 5: 25.0, 50: 100.0}


@pytest.mark.parametrize(
    "case",
    [
        {"labels": np.array([-1, -1])},
        {"labels": np.array([0, 0]), "ks": (0,)},
        {"labels": np.array([0, 0]), "within": np.array([0])},
        {"labels": np.array([0, 0]), "gallery_within": np.array([0])},
        {"labels": np.array([0, 0]), "within": np.array([0, 0]), "gallery_labels": np.array([0])},
    ],
)
def test_mistakes_are_refused(case: dict[str, np.ndarray]) -> None:
    with pytest.raises(ValueError, match=r"score|at least 1|within"):
        recall_chance(**case)
    with pytest.raises(ValueError, match="at least one class"):
        top_k_chance(0)
