"""The instance head's blocks: which of them a batch touches, how the others lag behind, and what an engine computes.

Weights W and velocity V are (N, D), rows sorted by group, so that a group is one contiguous block. Every row of a group
without an image in the batch has the gradient zero, so its step is one 2 x 2 map for all of its coordinates,

    (w; v) <- M (w; v),   M = ((1 - lr decay, -lr momentum), (decay, momentum)),

and steps in a row multiply: one pending 2 x 2 product a block says all that its rows have missed. M has determinant
`momentum`, so prefixes are never inverted; the product is kept in float64, and applied when the block is next touched.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from linnet.losses.owned import UpdateRule

__all__ = ["Engine", "Residual", "Touched", "advance", "apply_map", "gradient_gain", "nothing_pending", "update_map"]

_CHUNK = 1 << 20  # elements of a temporary

Residual = Any
"""What an engine's `step` needs of its own `forward` besides the arguments; nobody else looks into it."""


@dataclass(frozen=True)
class Touched:
    """The blocks that a batch touches, in ascending order; the batch's rows are sorted by block.

    Attributes:
        starts, stops: first weight row of each block, and one beyond its last.
        rows: length blocks + 1; rows `rows[i]:rows[i + 1]` of the batch belong to block i, at least one each.
        place: int64 (B,) on the weights' device, each row's own instance, counted from its block's start.
        lag: float64 (blocks, 2, 2) on the CPU, what is pending for each block; the identity where nothing is.
    """

    starts: list[int]
    stops: list[int]
    rows: list[int]
    place: Tensor
    lag: Tensor


class Engine(Protocol):
    """The arithmetic of a step, in two phases, because the loop looks at the loss before anything is updated.

    `weight` and `velocity` are (N, D), contiguous, float32 (the torch engine: also float64); `embedding` is (B, D),
    contiguous and of their type and device, rows sorted by block, and of unit length where there is a temperature.
    """

    def forward(
        self, weight: Tensor, velocity: Tensor, embedding: Tensor, touched: Touched, temperature: float | None
    ) -> tuple[Tensor, Tensor, Residual]:
        """Look at W' = P00 W + P01 V, P the block's lag, and change nothing.

        Logits are `x W'^T`, with a temperature `x normalised(W')^T / temperature` (norms clamped at 1e-12).

        Returns:
            loss (B,), -log softmax over the row's block at `place`; its gradient, (B, D), the derivative of the
            losses' sum with respect to `embedding`; and the residual for `step`.
        """

    def step(
        self,
        weight: Tensor,
        velocity: Tensor,
        embedding: Tensor,
        residual: Residual,
        touched: Touched,
        rule: UpdateRule,
        scale: float | Tensor,
    ) -> None:
        """Bring the touched blocks up to date and update them in place by `rule`; uses the residual up.

        `scale` is the derivative of the objective with respect to the losses' sum.
        """


def update_map(rule: UpdateRule) -> Tensor:
    """M of a step without gradient, float64 (2, 2) on the CPU: (w; v) <- M (w; v)."""
    lr, momentum, decay = rule.lr, rule.momentum, rule.weight_decay
    if rule.nesterov:
        first = [1 - lr * decay * (1 + momentum), -lr * momentum * momentum]
    else:
        first = [1 - lr * decay, -lr * momentum]
    return torch.tensor([first, [decay, momentum]], dtype=torch.float64)


def gradient_gain(rule: UpdateRule) -> float:
    """What a gradient g adds to w, as a multiple of g; to v it adds g itself."""
    return -rule.lr * (1 + rule.momentum if rule.nesterov else 1)


def nothing_pending(blocks: int) -> Tensor:
    """The identity for each block, float64 (blocks, 2, 2)."""
    return torch.eye(2, dtype=torch.float64).repeat(blocks, 1, 1)


def advance(pending: Tensor, touched: Tensor, rule: UpdateRule) -> None:
    """One step later, in place: touched blocks (int64) are up to date, all others lag one map more."""
    pending.copy_(update_map(rule) @ pending)
    pending[touched] = torch.eye(2, dtype=torch.float64)


def apply_map(weight: Tensor, velocity: Tensor, lag: Tensor) -> None:
    """(w; v) <- lag (w; v) for all rows of (n, D), in place, with a bounded temporary."""
    (a, b), (c, d) = lag.tolist()
    rows = max(1, _CHUNK // max(1, weight.shape[1]))
    for w, v in zip(weight.split(rows), velocity.split(rows), strict=True):
        # The small difference is added up by itself, so that w is rounded once.
        difference = (v * b).add_(w, alpha=a - 1)
        v.mul_(d).add_(w, alpha=c)
        w.add_(difference)
