"""Exact search against every similarity in float64, whatever the blocks; of equals the lower row comes first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from linnet.metrics.unit_vectors import unit_rows
from linnet.randomness import generator
from linnet.search import exact
from linnet.search.exact import exact_search, greatest_loss


def brute_force(
    gallery: NDArray[np.float32], query: NDArray[np.float32], k: int, rows: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Every similarity in float64, where those of grid vectors are exact."""
    order = np.arange(len(gallery)) if rows is None else rows
    s = query.astype(np.float64) @ gallery[order].astype(np.float64).T
    places = np.argsort(-s, axis=1, kind="stable")[:, :k]
    found, similarity = np.full((len(query), k), -1, np.int64), np.full((len(query), k), -np.inf)
    found[:, : places.shape[1]] = order[places]
    similarity[:, : places.shape[1]] = np.take_along_axis(s, places, 1)
    return similarity, found


@given(
    st.integers(0, 10**6),
    st.integers(1, 300),
    st.integers(1, 9),
    st.integers(1, 40),
    st.sampled_from([1, 2, 7, 64]),
    st.booleans(),
)
def test_rows_and_scores_are_those_of_brute_force(
    seed: int, count: int, queries: int, k: int, dim: int, some: bool
) -> None:
    draw = generator(seed, "exact")
    # A few directions, so that there are many duplicates and near ties.
    centres = draw.standard_normal((5, dim))
    noise = draw.choice([0.0, 1e-7, 1e-3, 1.0], (count, 1)) * draw.standard_normal((count, dim))
    gallery = unit_rows(centres[draw.integers(0, 5, count)] + noise, "gallery").exact.numpy()
    query = unit_rows(gallery[draw.integers(0, count, queries)].astype(np.float64), "query")
    rows = np.flatnonzero(draw.random(count) < 0.5) if some else None
    expected = brute_force(gallery, query.exact.numpy(), k, rows)
    lost = {getattr(torch, name): value for name, value in greatest_loss(gallery).items()}
    s, found = exact_search(gallery, query, k, rows=rows, lost=lost)
    np.testing.assert_array_equal(found, expected[1])
    np.testing.assert_array_equal(s, expected[0])


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    draw = generator(3, "exact")
    gallery = unit_rows(draw.standard_normal((5000, 24)).astype(np.float32), "gallery").exact.numpy()
    gallery[4000:] = gallery[:1000]
    gallery.tofile(tmp_path / "vectors")
    mapped = np.memmap(tmp_path / "vectors", "<f4", mode="r", shape=gallery.shape)
    query = unit_rows(gallery[::50] + 0.1 * draw.standard_normal((100, 24)).astype(np.float32), "query")
    expected = brute_force(gallery, query.exact.numpy(), 12)
    for queries, widest in ((1024, 1 << 16), (7, 100), (33, 513)):
        monkeypatch.setattr(exact, "_QUERIES", queries)
        monkeypatch.setattr(exact, "_WIDEST", widest)
        s, found = exact_search(mapped, query, 12)
        np.testing.assert_array_equal(found, expected[1])
        np.testing.assert_array_equal(s, expected[0])


def test_no_row_and_no_query() -> None:
    query = unit_rows(np.ones((2, 3)), "query")
    s, found = exact_search(np.empty((0, 3), np.float32), query, 2)
    assert (found == -1).all() and np.isneginf(s).all()
    s, found = exact_search(np.ones((1, 3), np.float32), unit_rows(np.empty((0, 3)), "query"), 2)
    assert s.shape == found.shape == (0, 2)
