"""The learning rate at every point of a course."""

from __future__ import annotations

import math

import pytest

from linnet.training.schedule import learning_rate
from tests.training.tiny import tiny_recipe


def test_steps_are_those_of_the_paper() -> None:
    """x0.2 at 60, 120 and 160 of 200 epochs."""
    recipe = tiny_recipe(lr=0.1, schedule="step", milestones=[60, 120, 160], epochs=200)
    for position, factor in ((0, 1), (59.99, 1), (60, 0.2), (120, 0.04), (159.9, 0.04), (199, 0.008)):
        assert learning_rate(recipe, position, 200) == pytest.approx(0.1 * factor)


def test_cosine_with_warmup() -> None:
    """Rises to the peak, falls to nothing, and never leaves that range."""
    recipe = tiny_recipe(lr=0.4, schedule="cosine", warmup=2, epochs=10)
    rates = [learning_rate(recipe, step / 8, 10) for step in range(80)]
    assert rates[8] == pytest.approx(0.2)
    assert max(rates) == rates[16] == pytest.approx(0.4)
    assert rates[16:] == sorted(rates[16:], reverse=True)
    assert rates[48] == pytest.approx(0.2 * (1 + math.cos(math.pi * 4 / 8)))
    assert rates[-1] > 0


def test_plateau_counts_evaluations_without_a_better_one() -> None:
    """Each `patience` of them lowers the rate once."""
    for patience in (1, 4, 10):
        recipe = tiny_recipe(lr=1.0, schedule="plateau", factor=0.5, patience=patience)
        rising = [float(i) for i in range(30)]
        assert learning_rate(recipe, 0, 99, rising) == 1.0
        assert learning_rate(recipe, 0, 99, [5.0] * patience) == 1.0
        assert learning_rate(recipe, 0, 99, [5.0] * (patience + 1)) == 0.5
        assert learning_rate(recipe, 0, 99, [5.0] * (2 * patience + 1)) == 0.25


def test_constant() -> None:
    """The recipe's rate, always."""
    assert learning_rate(tiny_recipe(schedule="constant", lr=0.3), 7.5, 10) == 0.3
