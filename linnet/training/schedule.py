"""The learning rate as a pure function of the position in training, so that nothing of it needs saving."""

from __future__ import annotations

import math
from collections.abc import Sequence

from linnet.recipes import Recipe

__all__ = ["learning_rate"]


def learning_rate(recipe: Recipe, position: float, epochs: int, history: Sequence[float] = ()) -> float:
    """The learning rate at `position`, in epochs since the stage began (fractions count the steps).

    Args:
        recipe: gives lr, schedule, milestones, factor, patience and warmup (epochs of linear rise).
        position: 0 <= position < epochs.
        epochs: length of the stage.
        history: selection metric after each evaluation so far, higher is better; "plateau" alone reads it.
    """
    if position < recipe.warmup:
        return recipe.lr * (position + 1e-8) / recipe.warmup
    if recipe.schedule == "step":
        return recipe.lr * recipe.factor ** sum(position >= milestone for milestone in recipe.milestones)
    if recipe.schedule == "cosine":
        done = (position - recipe.warmup) / (epochs - recipe.warmup)
        return recipe.lr * 0.5 * (1 + math.cos(math.pi * done))
    if recipe.schedule == "plateau":
        return recipe.lr * recipe.factor ** _plateaus(history, recipe.patience)
    return recipe.lr


def _plateaus(history: Sequence[float], patience: int) -> int:
    """How often `patience` evaluations in a row brought nothing better."""
    best, waited, count = -math.inf, 0, 0
    for value in history:
        if value > best:
            best, waited = value, 0
        else:
            waited += 1
        if waited == patience:
            count, waited = count + 1, 0
    return count
