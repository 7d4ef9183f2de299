"""Signals without fine labels, on embeddings whose answer is known."""

from __future__ import annotations

import pytest
import torch

from linnet.metrics.signals import effective_rank, reidentification


def test_effective_rank_counts_equal_directions() -> None:
    rows = torch.cat([torch.eye(6), -torch.eye(6)])  # centred already; 6 equal singular values
    assert effective_rank(rows, torch.zeros(12, dtype=torch.int64)) == pytest.approx(6.0)


def test_effective_rank_equals_its_formula() -> None:
    rows = torch.randn(40, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    coarse = torch.arange(40) % 3
    expected = 0.0
    for c in range(3):
        part = torch.nn.functional.normalize(rows[coarse == c])
        p = torch.linalg.svdvals(part - part.mean(0)) ** 2
        p = p / p.sum()
        expected += float(torch.exp(-(p * p.log()).sum())) / 3
    assert effective_rank(rows, coarse) == pytest.approx(expected, rel=1e-6)
    assert effective_rank(5 * rows, coarse) == pytest.approx(expected, rel=1e-6)


def test_effective_rank_of_collapsed_and_lone_classes() -> None:
    rows = torch.cat([torch.full((5, 3), 0.3), torch.eye(3), -torch.eye(3), torch.ones(1, 3)])
    coarse = torch.tensor([0] * 5 + [1] * 6 + [2])
    assert effective_rank(rows, coarse) == pytest.approx((0.0 + 3.0) / 2)
    with pytest.raises(ValueError, match="two images"):
        effective_rank(torch.eye(3), torch.tensor([0, 1, -1]))


def test_reidentification_is_restricted_to_the_coarse_class() -> None:
    plain = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.1]])
    views = torch.tensor([[1.0, 0.09], [0.1, 1.0], [1.0, 0.08]])
    assert reidentification(views, plain, torch.tensor([0, 0, 1])) == 100.0
    assert reidentification(views, plain, torch.tensor([0, 0, 0])) == pytest.approx(200 / 3)
    assert reidentification(torch.ones(3, 2), torch.ones(3, 2), torch.zeros(3, dtype=torch.int64)) == 0.0
    with pytest.raises(ValueError, match="one view of each image"):
        reidentification(views[:2], plain, torch.tensor([0, 0]))
