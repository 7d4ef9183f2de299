"""Recall@k against the literal double loop, and its conventions one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from linnet.metrics.recall import query_ranks, recall_at_k
from linnet.metrics.tally import MISS
from tests.reference import recall as reference

KS = (1, 2, 3, 5, 50)


@st.composite
def sets(draw: st.DrawFn, with_gallery: bool) -> dict[str, Any]:
    """Few distinct small integer vectors: ties, parallel rows, duplicates, zeros and lone classes abound."""
    width = draw(st.integers(1, 3))

    def rows(count: int) -> np.ndarray:
        cells = st.lists(st.integers(-2, 2), min_size=count * width, max_size=count * width)
        return np.array(draw(cells), dtype=np.float64).reshape(count, width)

    def numbers(count: int, high: int) -> list[int]:
        return draw(st.lists(st.integers(-1, high), min_size=count, max_size=count))

    n = draw(st.integers(1, 14))
    case: dict[str, Any] = {"embeddings": rows(n), "labels": [*numbers(n - 1, 3), 1], "within": None}
    nested = draw(st.booleans())
    if nested:
        case["within"] = [*numbers(n - 1, 2), 0]
    if with_gallery:
        m = draw(st.integers(1, 12))
        case |= {"gallery": rows(m), "gallery_labels": numbers(m, 3)}
        case["gallery_within"] = numbers(m, 2) if nested else None
    return case


def as_arrays(case: dict[str, Any]) -> dict[str, Any]:
    return {name: value if value is None else np.asarray(value) for name, value in case.items()}


@settings(max_examples=300, deadline=None)
@given(
    st.booleans().flatmap(sets),
    st.sampled_from([1, 2, 5, 1024]),
    st.sampled_from([None, torch.bfloat16, torch.float16, torch.float32, torch.float64]),
)
def test_equals_the_double_loop(case: dict[str, Any], chunk: int, dtype: torch.dtype | None) -> None:
    assert recall_at_k(**as_arrays(case), ks=KS, chunk=chunk, dtype=dtype) == reference.recall_at_k(**case, ks=KS)


@pytest.fixture(scope="module")
def crowd() -> tuple[torch.Tensor, torch.Tensor]:
    """400 rows in 7 tight clusters, a quarter of them scaled copies, random labels: near and exact ties."""
    generator = torch.Generator().manual_seed(5)
    centres = torch.randn(7, 33, generator=generator)
    rows = centres[torch.randint(7, (400,), generator=generator)] + 1e-4 * torch.randn(400, 33, generator=generator)
    rows[::4] = 3.0 * rows[torch.randint(400, (100,), generator=generator)]
    return rows, torch.randint(-1, 30, (400,), generator=generator)


def test_same_ranks_for_every_chunk_type_and_thread_count(crowd: tuple[torch.Tensor, torch.Tensor]) -> None:
    rows, labels = crowd
    expected = query_ranks(rows, labels, dtype=torch.float64, chunk=400)
    threads = torch.get_num_threads()
    for chunk in (23, 64, 399, 400, 1024):
        for count in (1, 2):
            torch.set_num_threads(count)
            assert torch.equal(query_ranks(rows, labels, chunk=chunk), expected)
    torch.set_num_threads(threads)
    rows, labels = rows[:120], labels[:120]
    assert recall_at_k(rows, labels, KS) == reference.recall_at_k(rows.double().numpy(), labels.tolist(), KS)


def test_leave_one_out_equals_a_gallery_of_the_others(crowd: tuple[torch.Tensor, torch.Tensor]) -> None:
    rows, labels = crowd[0][:40], crowd[1][:40]
    ranks = query_ranks(rows, labels)
    for i in range(40):
        others = torch.arange(40) != i
        one = query_ranks(rows[i : i + 1], labels[i : i + 1], gallery=rows[others], gallery_labels=labels[others])
        assert one[0] == ranks[i]


@pytest.mark.parametrize("precision", ["bf16", "tf32"])
def test_same_ranks_when_the_user_allows_coarse_products(
    crowd: tuple[torch.Tensor, torch.Tensor], precision: str
) -> None:
    rows = torch.cat([crowd[0], torch.randn(400, 33, generator=torch.Generator().manual_seed(6))])
    labels = torch.cat([crowd[1], crowd[1]])
    expected = query_ranks(rows, labels, dtype=torch.float64)
    setting: Any = torch.backends.mkldnn.matmul
    before = setting.fp32_precision
    try:
        setting.fp32_precision = precision
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(query_ranks(rows, labels), expected)
    finally:
        setting.fp32_precision = before


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_same_ranks_on_a_gpu(crowd: tuple[torch.Tensor, torch.Tensor]) -> None:
    rows, labels = crowd
    assert torch.equal(query_ranks(rows.cuda(), labels).cpu(), query_ranks(rows, labels))


def test_random_rows_agree_with_plain_float64_cosine() -> None:
    rows = torch.randn(150, 20, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    labels = torch.arange(150) % 10
    s = torch.nn.functional.normalize(rows) @ torch.nn.functional.normalize(rows).T
    s.fill_diagonal_(-2)
    hit = labels[s.topk(4).indices] == labels[:, None]
    expected = {k: 100.0 * int(hit[:, :k].any(1).sum()) / 150 for k in (1, 4)}
    assert recall_at_k(rows, labels, (1, 4)) == expected


def test_a_collapsed_embedding_scores_nothing() -> None:
    assert recall_at_k(torch.ones(60, 8), torch.arange(60) % 3, (1, 8)) == {1: 0.0, 8: 0.0}
    assert recall_at_k(torch.zeros(60, 8), torch.arange(60) % 3, (1,)) == {1: 0.0}


def test_only_the_query_itself_is_left_out() -> None:
    rows = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])  # 0 and 1 are duplicates for the cosine
    assert query_ranks(rows, torch.tensor([0, 0, 1])).tolist() == [0, 0, MISS]


def test_a_query_without_a_positive_is_a_miss_at_any_k() -> None:
    assert recall_at_k(torch.eye(3), torch.tensor([0, 1, 2]), (1, 100)) == {1: 0.0, 100: 0.0}


def test_unlabelled_images_distract_but_do_not_query() -> None:
    rows = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.9, 0.1]])
    assert query_ranks(rows, torch.tensor([0, 0, -1])).tolist() == [1, 1, -1]


def test_within_restricts_the_gallery() -> None:
    rows = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.9, 0.1]])
    labels = torch.tensor([0, 0, 1])
    assert recall_at_k(rows, labels, (1,))[1] == 0.0
    assert query_ranks(rows, labels, within=torch.tensor([0, 0, 1])).tolist() == [0, 0, MISS]
    assert query_ranks(rows, labels, within=torch.tensor([0, 0, -1])).tolist() == [0, 0, -1]


def test_extreme_scales_do_not_matter() -> None:
    rows = np.random.default_rng(3).normal(size=(30, 5))
    scale = 10.0 ** np.linspace(-290, 290, 30)[:, None]
    labels = np.arange(30) % 4
    assert recall_at_k(rows * scale, labels, KS) == recall_at_k(rows, labels, KS)


def test_read_only_arrays_and_half_precision_are_taken() -> None:
    rows = np.eye(4, dtype=np.float16)
    rows.flags.writeable = False
    assert recall_at_k(rows, np.array([0, 0, 1, 1], dtype=np.int32), (3,)) == {3: 100.0}


def good() -> dict[str, Any]:
    return {"embeddings": torch.eye(4), "labels": torch.tensor([0, 0, 1, 1])}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"embeddings": torch.eye(4).index_fill(0, torch.tensor([2]), float("inf"))}, "embeddings: row 2 "),
        ({"embeddings": torch.eye(4, dtype=torch.int64)}, "floating"),
        ({"embeddings": torch.ones(4)}, "shape"),
        ({"labels": torch.zeros(4)}, "labels: .* need integers"),
        ({"labels": torch.zeros(3, dtype=torch.int64)}, r"integers \(4,\)"),
        ({"labels": -torch.ones(4, dtype=torch.int64)}, "nothing to score"),
        ({"ks": (0, 1)}, "at least 1"),
        ({"ks": ()}, "at least 1"),
        ({"chunk": -3}, "chunk is -3"),
        ({"dtype": torch.int32}, "dtype is torch.int32"),
        ({"gallery": torch.eye(4)}, "gallery_labels"),
        ({"gallery_labels": torch.arange(4)}, "gallery_labels"),
        ({"gallery": torch.eye(5), "gallery_labels": torch.arange(5)}, "4 numbers a row, the gallery 5"),
        (
            {"within": torch.arange(4), "gallery": torch.eye(4), "gallery_labels": torch.arange(4)},
            "gallery_within",
        ),
        ({"gallery_within": torch.arange(4)}, "gallery_within"),
    ],
)
def test_mistakes_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        recall_at_k(**(good() | change))
