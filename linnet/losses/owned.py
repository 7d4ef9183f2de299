"""Modules that own the update of their weights: the rule they are given, and what a training loop may ask of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from torch import Tensor

__all__ = ["OwnsUpdate", "Sharded", "UpdateRule"]


@dataclass(frozen=True)
class UpdateRule:
    """One SGD step: v <- momentum v + (g + decay w); w <- w - lr v (Nesterov: w - lr (g + decay w + momentum v)).

    `skip` is a float32 number on the weights' device; where it is not zero the step changes nothing, and the host need
    not know (as `found_inf` of torch's fused optimizers).
    """

    lr: float
    momentum: float = 0.0
    weight_decay: float = 0.0
    nesterov: bool = False
    skip: Tensor | None = field(default=None, compare=False)


class OwnsUpdate(Protocol):
    """A module whose weights are buffers that it updates itself; the loop says when, and with which rule."""

    def step(self, rule: UpdateRule, loss_scale: float = 1.0) -> None:
        """Update from the gradient that the last backward pass left; without one, nothing happens.

        `loss_scale` is what the objective was multiplied by before that pass (fp16's gradient scaler).
        """


@runtime_checkable
class Sharded(Protocol):
    """A module of which each process can hold a part."""

    def shard(self, rank: int, world: int) -> None:
        """Keep this process's part alone; from then on its `state_dict` is that part, and it loads whole states."""

    def whole(self) -> dict[str, Tensor]:
        """The state of the whole, by name; every process must call."""
