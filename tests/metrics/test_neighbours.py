"""Nearest neighbours against the literal double loop, and their conventions one by one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from linnet.metrics.neighbours import nearest
from tests.reference import recall as reference

DTYPES = (None, torch.bfloat16, torch.float16, torch.float32, torch.float64)


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    """Few distinct small integer vectors: ties, parallel rows, duplicates, zeros and lone groups abound."""
    width = draw(st.integers(1, 3))

    def rows(count: int) -> np.ndarray:
        cells = st.lists(st.integers(-2, 2), min_size=count * width, max_size=count * width)
        return np.array(draw(cells), dtype=np.float64).reshape(count, width)

    n, m = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    alone, grouped = draw(st.booleans()), draw(st.booleans())
    groups = st.integers(-1, 2)
    return {
        "query": rows(n),
        "gallery": None if alone else rows(m),
        "k": draw(st.integers(1, 14)),
        "exclude_self": alone and draw(st.booleans()),
        "within": draw(st.lists(groups, min_size=n, max_size=n)) if grouped else None,
        "gallery_within": draw(st.lists(groups, min_size=m, max_size=m)) if grouped and not alone else None,
    }


def as_lists(similarity: torch.Tensor, index: torch.Tensor) -> list[list[tuple[float, int]]]:
    """The neighbours that are there, row by row, after a look at the places of those that are not."""
    assert bool((similarity.isinf() == (index < 0)).all())
    rows = zip(similarity.tolist(), index.tolist(), strict=True)
    return [[(s, i) for s, i in zip(*row, strict=True) if i >= 0] for row in rows]


@settings(max_examples=200, deadline=None)
@given(cases(), st.sampled_from([1, 2, 5, 1024]), st.sampled_from(DTYPES))
def test_equals_the_double_loop(case: dict[str, Any], chunk: int, dtype: torch.dtype | None) -> None:
    given = {name: np.asarray(value) if isinstance(value, list) else value for name, value in case.items()}
    found = nearest(**given, chunk=chunk, dtype=dtype)
    assert as_lists(*found) == reference.nearest(**case)


@pytest.fixture(scope="module")
def crowd() -> tuple[torch.Tensor, list[list[tuple[float, int]]]]:
    """180 rows in 5 tight clusters, a third of them scaled copies, and the 12 nearest of each."""
    draw = torch.Generator().manual_seed(0)
    rows = torch.randn(5, 16, generator=draw)[torch.arange(180) % 5] + 1e-3 * torch.randn(180, 16, generator=draw)
    rows[120:] = 2 * rows[:60]
    return rows, reference.nearest(rows.double().numpy(), None, 12, exclude_self=True)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("chunk", [7, 64, None])
def test_a_crowd_of_near_and_exact_ties(
    crowd: tuple[torch.Tensor, list[list[tuple[float, int]]]], chunk: int | None, dtype: torch.dtype | None
) -> None:
    rows, expected = crowd
    assert as_lists(*nearest(rows, None, 12, exclude_self=True, chunk=chunk, dtype=dtype)) == expected


def test_a_zero_row_is_as_far_from_everything() -> None:
    rows = torch.tensor([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])
    similarity, index = nearest(rows, None, 3)
    assert index.tolist() == [[0, 1, 2], [1, 0, 2], [2, 0, 1]]
    assert similarity.tolist() == [[0, 0, 0], [1, 0, -1], [1, 0, -1]]


def test_fewer_neighbours_than_asked_for() -> None:
    similarity, index = nearest(torch.eye(2), None, 3, exclude_self=True)
    assert index.tolist() == [[1, -1, -1], [0, -1, -1]]
    assert similarity[:, 1:].tolist() == [[-math.inf] * 2] * 2


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"k": 0}, "k is 0"),
        ({"chunk": 0}, "chunk 0"),
        ({"gallery": torch.eye(3)}, "the gallery 3"),
        ({"gallery": torch.eye(2), "exclude_self": True}, "exclude_self"),
        ({"gallery": torch.eye(2), "within": torch.zeros(2, dtype=torch.int64)}, "gallery_within"),
        ({"query": torch.tensor([[1.0, 0.0], [math.nan, 0.0]])}, "row 1"),
        ({"within": torch.zeros(3, dtype=torch.int64)}, "within"),
    ],
)
def test_a_wrong_call_is_refused(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        nearest(**{"query": torch.eye(2), "gallery": None, "k": 1, **wrong})
