"""The instance head's arithmetic on some of its rows, in plain torch: logits, the weights' gradient, the update."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim.sgd import sgd

from linnet.losses.owned import UpdateRule

__all__ = ["logits_of", "product", "update", "weight_gradient"]


def product(x: Tensor, w: Tensor) -> Tensor:
    """`x w^T`, (b, D) and (n, D) to (b, n)."""
    return F.linear(x, w)


def logits_of(x: Tensor, w: Tensor, temperature: float | None) -> tuple[Tensor, Tensor | None]:
    """Logits (b, n) of (b, D) against (n, D), and for cosine ones 1 / (|w| temperature), (n,)."""
    logits = product(x, w)
    if temperature is None:
        return logits, None
    inverse = torch.linalg.vector_norm(w, dim=1).clamp_min_(1e-12).mul_(temperature).reciprocal_()
    return logits.mul_(inverse), inverse


def weight_gradient(slope: Tensor, logits: Tensor, inverse: Tensor | None, x: Tensor, w: Tensor, t: float) -> Tensor:
    """From the logits' gradient `slope` (b, n) to the weights', (n, D); `t` is the temperature of cosine logits."""
    if inverse is None:
        return slope.t() @ x
    # d/dw of x w / (|w| t) is (x - (x w) w / |w|^2) / (|w| t).
    along = (slope * logits).sum(0).mul_((inverse * t).square_())
    return ((slope * inverse).t() @ x).addcmul_(w, along.unsqueeze(1), value=-1)


def update(w: Tensor, v: Tensor, gradient: Tensor, rule: UpdateRule) -> None:
    """One step of SGD in place; the gradient is used up."""
    if not rule.momentum:  # torch would leave v as it is, which a later rule with momentum takes up
        v.copy_(gradient).add_(w, alpha=rule.weight_decay)
        w.add_(v, alpha=-rule.lr)
        return
    sgd(
        [w],
        [gradient],
        [v],
        fused=True,
        lr=rule.lr,
        momentum=rule.momentum,
        weight_decay=rule.weight_decay,
        dampening=0.0,
        nesterov=rule.nesterov,
        maximize=False,
    )
