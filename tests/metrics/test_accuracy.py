"""Top-k accuracy against sorting by hand."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from linnet.metrics.accuracy import top_k


def by_hand(logits: list[list[int]], targets: list[int], k: int) -> float:
    """Sort each row's classes by falling logit; at equal logits the true class comes last."""
    hits, rows = 0, 0
    for row, target in zip(logits, targets, strict=True):
        if target < 0:
            continue
        order = sorted(range(len(row)), key=lambda j: (-row[j], j == target))
        hits += target in order[:k]
        rows += 1
    return 100.0 * hits / rows


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[list[int]], list[int]]:
    classes = draw(st.integers(1, 6))
    rows = draw(st.integers(1, 12))
    logits = draw(
        st.lists(st.lists(st.integers(-2, 2), min_size=classes, max_size=classes), min_size=rows, max_size=rows)
    )
    targets = draw(st.lists(st.integers(-1, classes - 1), min_size=rows, max_size=rows).filter(lambda t: max(t) >= 0))
    return logits, targets


@given(cases())
def test_equals_sorting_by_hand(case: tuple[list[list[int]], list[int]]) -> None:
    logits, targets = case
    got = top_k(torch.tensor(logits, dtype=torch.float32), torch.tensor(targets), ks=(1, 2, 5))
    assert got == {k: by_hand(logits, targets, k) for k in (1, 2, 5)}


def test_constant_logits_score_nothing_until_every_class_is_allowed() -> None:
    got = top_k(torch.zeros(8, 4), torch.arange(8) % 4, ks=(1, 3, 4, 9))
    assert got == {1: 0.0, 3: 0.0, 4: 100.0, 9: 100.0}


def test_a_class_masked_with_minus_infinity_is_never_a_hit() -> None:
    logits = torch.tensor([[1.0, float("-inf"), 0.0]])
    assert top_k(logits, torch.tensor([1]), ks=(1, 2)) == {1: 0.0, 2: 0.0}
    assert top_k(logits, torch.tensor([0]), ks=(1,)) == {1: 100.0}


def test_half_precision_and_unknown_rows() -> None:
    logits = torch.eye(3).to(torch.bfloat16)
    logits[1] = float("nan")  # an unknown row may hold anything
    assert top_k(logits, torch.tensor([0, -1, 2]), ks=(1,)) == {1: 100.0}


@pytest.mark.parametrize(
    ("logits", "targets", "ks", "message"),
    [
        (
            torch.tensor([[0.0, 1.0], [0.0, float("nan")]]),
            torch.tensor([0, 1]),
            (1,),
            "logits of row 1 contain NaN",
        ),
        (torch.zeros(2, 2), torch.tensor([0, 2]), (1,), r"target 2 of row 1.*0\.\.1"),
        (torch.zeros(2, 2), torch.tensor([0, -2]), (1,), "target -2 of row 1"),
        (torch.zeros(2, 2), torch.tensor([-1, -1]), (1,), "nothing to score"),
        (torch.zeros(2, 2), torch.tensor([0]), (1,), "need"),
        (torch.zeros(2, 2), torch.tensor([0, 1]), (0,), "at least 1"),
        (torch.zeros(2, 2), torch.tensor([0, 1]), (), "at least 1"),
    ],
)
def test_mistakes_are_named(logits: torch.Tensor, targets: torch.Tensor, ks: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        top_k(logits, targets, ks)
