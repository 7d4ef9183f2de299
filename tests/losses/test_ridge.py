"""Ridge regression from sums against least squares on the rows themselves."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from linnet.losses.ridge import RidgeSums, ridge
from linnet.randomness import seeded
from tests.reference import bigspn as literal


@pytest.mark.parametrize("strength", [0.01, 1.0, 30.0])
def test_sums_give_what_the_rows_give(strength: float) -> None:
    """Batch by batch, more features than images, a class without one."""
    with seeded(0, "ridge"):
        rows, labels, targets = torch.randn(20, 30) + 3, torch.randint(4, (20,)), torch.randn(5, 6)
    sums = RidgeSums(30, 5)
    for part, of in zip(rows.split(7), labels.split(7), strict=True):
        sums.add(part, of)
    weight, bias = sums.solve(targets, strength)
    expected, offset = literal.ridge(rows.double(), targets.double()[labels], strength)
    torch.testing.assert_close(weight.double(), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(bias.double(), offset, rtol=1e-5, atol=1e-6)
    for one, other in zip(ridge(rows, targets[labels], strength), (weight, bias), strict=True):
        torch.testing.assert_close(one, other)


def test_the_strength_does_not_depend_on_the_scale_or_number_of_rows() -> None:
    with seeded(0, "ridge"):
        rows, labels, targets = torch.randn(30, 4), torch.randint(3, (30,)), torch.randn(3, 2)
    said = []
    for scale, times in ((1, 1), (10, 1), (1, 3)):
        sums = RidgeSums(4, 3)
        for _ in range(times):
            sums.add(rows * scale, labels)
        weight, bias = sums.solve(targets, 0.5)
        said.append(F.linear(rows * scale, weight, bias))
    torch.testing.assert_close(said[0], said[1])
    torch.testing.assert_close(said[0], said[2])


def test_nothing_added_is_a_bug() -> None:
    with pytest.raises(ValueError, match="no image has been added"):
        RidgeSums(3, 2).solve(torch.zeros(2, 4), 1.0)


def test_sums_stay_exact_under_autocast() -> None:
    with seeded(0, "ridge"):
        rows = torch.randn(9, 3)
    sums = RidgeSums(3, 1)
    with torch.autocast("cpu", torch.bfloat16):
        sums.add(rows, torch.zeros(9, dtype=torch.int64))
    torch.testing.assert_close(sums.gram, rows.double().T @ rows.double())
