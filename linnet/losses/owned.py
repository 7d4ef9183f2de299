"""Modules that own the update of their weights: the rule they are given, and what a training loop may ask of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

__all__ = ["OwnsUpdate", "UpdateRule"]


@dataclass(frozen=True)
class UpdateRule:
    """One SGD step: v <- momentum v + (g + decay w); w <- w - lr v (Nesterov: w - lr (g + decay w + momentum v))."""

    lr: float
    momentum: float = 0.0
    weight_decay: float = 0.0
    nesterov: bool = False


class OwnsUpdate(Protocol):
    """A module whose weights are buffers that it updates itself; the loop says when, and with which rule."""

    def step(self, rule: UpdateRule) -> None:
        """Update from the gradient that the last backward pass left; without one, nothing happens."""
