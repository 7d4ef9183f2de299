"""The instance head's arithmetic on some of its rows, in plain torch: products, logits, gradient, update."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim.sgd import sgd

from linnet.losses.owned import UpdateRule

__all__ = ["combine", "few_sizes", "logits_of", "product", "through_norms", "update"]


@cache
def _onednn() -> Callable[[Tensor, Tensor], Tensor] | None:
    """`x w^T` by oneDNN for float32 on the CPU, None where this torch does not offer it.

    torch has no public road to oneDNN's product of plain float32 tensors; its matmul is MKL's, which on AMD processors
    leaves half of the lanes unused. Where this operator is gone or fails, matmul it is.
    """
    try:
        linear = torch.ops.mkldnn._linear_pointwise.default
        one = torch.ones(2, 2)
        if torch.backends.mkldnn.is_available() and torch.equal(linear(one, one, None, "none", [], ""), one @ one):
            return lambda x, w: linear(x, w, None, "none", [], "")
    except (AttributeError, RuntimeError, TypeError):
        pass
    return None


def _by_onednn(x: Tensor) -> Callable[[Tensor, Tensor], Tensor] | None:
    return _onednn() if x.dtype == torch.float32 and x.device.type == "cpu" else None


def few_sizes(x: Tensor, count: int, digits: int) -> int:
    """`count` rounded up to a number of at most `digits` binary digits and zeros, where many sizes would cost.

    oneDNN makes a kernel for each shape that it meets, in half a millisecond, and keeps a thousand of them.
    """
    step = 1 << max(0, count.bit_length() - digits) if _by_onednn(x) else 1
    return -(-count // step) * step


def product(x: Tensor, w: Tensor) -> Tensor:
    """`x w^T`, (b, D) and (n, D) to (b, n)."""
    linear = _by_onednn(x)
    return linear(x, w) if linear else F.linear(x, w)


def combine(p: Tensor, w: Tensor) -> Tensor:
    """`p w`, (b, n) and (n, D) to (b, D)."""
    linear = _by_onednn(p)
    return linear(p, w.t()) if linear else p @ w


def logits_of(x: Tensor, w: Tensor, temperature: float | None) -> tuple[Tensor, Tensor | None]:
    """Logits (b, n) of (b, D) against (n, D), and for cosine ones 1 / (|w| temperature), (n,)."""
    logits = product(x, w)
    if temperature is None:
        return logits, None
    inverse = torch.linalg.vector_norm(w, dim=1).clamp_min_(1e-12).mul_(temperature).reciprocal_()
    return logits.mul_(inverse), inverse


def through_norms(slope: Tensor, logits: Tensor, inverse: Tensor, temperature: float) -> Tensor:
    """Turn the gradient of cosine logits, `slope` (b, n), into one of products, in place.

    The derivative of x w / (|w| t) with respect to w is (x - (x w) w / |w|^2) / (|w| t): `slope^T x`, less w times what
    this returns, (n,).
    """
    along = (slope * logits).sum(0).mul_((inverse * temperature).square_())
    slope.mul_(inverse)
    return along


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
