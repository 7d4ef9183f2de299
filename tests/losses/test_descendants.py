"""Labels at any level against plain sums of probabilities."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from linnet.losses.descendants import DescendantLoss
from linnet.randomness import seeded
from tests.reference.class_maps import descendant_loss

MIDDLE = torch.tensor([0, 0, 1, 2, 2, 2]) == torch.arange(3)[:, None]
TOP = torch.tensor([0, 0, 0, 1, 1, 1]) == torch.arange(2)[:, None]
LEVELS = {0: TOP, 1: MIDDLE, 2: torch.eye(6, dtype=torch.bool)}


def labels(fine: Tensor, known: Tensor) -> Tensor:
    """Targets (B, 3) of fine classes, known down to a level (-1: not at all)."""
    full = torch.stack([LEVELS[level].int().argmax(0)[fine] for level in range(3)], 1)
    return torch.where(torch.arange(3) <= known[:, None], full, -1)


@given(seed=st.integers(0, 99))
def test_mixed_levels_equal_the_sums(seed: int) -> None:
    with seeded(seed, "labels"):
        logits = torch.randn(8, 6, dtype=torch.float64) * 3
        fine, known = torch.randint(6, (8,)), torch.randint(3, (8,))
    targets = labels(fine, known)
    expected = [
        descendant_loss(row, LEVELS[level], int(target[level]))
        for row, target, level in zip(logits, targets, known.tolist(), strict=True)
    ]
    torch.testing.assert_close(DescendantLoss(LEVELS)(logits, targets), torch.stack(expected))


def test_gradients_and_extremes() -> None:
    loss, targets = DescendantLoss(LEVELS), labels(torch.arange(6), torch.tensor([0, 1, 2, 0, 1, 2]))
    logits = torch.randn(6, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: loss(z, targets), logits)
    far = torch.tensor([[1e4, 0, 0, 0, 0, -1e4]] * 6, requires_grad=True)
    loss(far, targets).sum().backward()
    assert bool(torch.isfinite(loss(far, targets)).all()) and far.grad is not None
    assert bool(torch.isfinite(far.grad).all())


def test_fine_labels_make_it_the_cross_entropy_and_no_label_is_no_loss() -> None:
    logits, fine = torch.randn(6, 6), torch.arange(6)
    got = DescendantLoss(LEVELS)(logits, labels(fine, torch.full((6,), 2)))
    torch.testing.assert_close(got, F.cross_entropy(logits, fine, reduction="none"))
    assert float(DescendantLoss(LEVELS)(logits, labels(fine, torch.full((6,), -1))).abs().max()) == 0.0


def test_only_the_levels_told_are_looked_at() -> None:
    """Columns between the two levels, and finer ones, are for others."""
    loss = DescendantLoss({0: TOP, 2: LEVELS[2]})
    logits = torch.randn(2, 6)
    targets = torch.tensor([[1, 2, -1, 7], [0, 0, 1, 7]])
    expected = torch.stack([-torch.log_softmax(logits, 1)[0, 3:].logsumexp(0), -torch.log_softmax(logits, 1)[1, 1]])
    torch.testing.assert_close(loss(logits, targets), expected)
