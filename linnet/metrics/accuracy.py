"""Top-k accuracy."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

__all__ = ["scored_rows", "top_k"]


def top_k(logits: Tensor, targets: Tensor, ks: Sequence[int] = (1, 5)) -> dict[int, float]:
    """Share of images whose class is among the k highest logits, in percent (0 to 100), for every k.

    Ties are pessimistic: another class with the same logit stands before the true one, so constant logits
    score 0 for every k below the number of classes. A k of at least the number of classes scores 100, because
    all classes contain the true one. Infinite logits (classes masked out) are compared as they are.

    Args:
        logits: (n, C), any floating dtype, any device.
        targets: (n,) int64 class indices in 0..C-1; -1 means unknown and is skipped.
        ks: which k, each at least 1.

    Raises:
        ValueError: shapes do not fit, a k is below 1, a target is not in -1..C-1, a logit of a scored row is
            NaN (the first such row is named), or every target is -1.
    """
    if not ks or min(ks) < 1:
        raise ValueError(f"ks is {tuple(ks)}; need one or more numbers, each at least 1")
    scored, truth = scored_rows(logits, targets)
    own = scored.gather(1, truth[:, None])
    before = (scored >= own).sum(1) - 1  # the class itself is in the count
    return {int(k): 100.0 * int((before < k).sum()) / len(scored) for k in ks}


def scored_rows(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The rows (m, C) of the logits whose target is known, detached, and their targets (m,), on one device.

    Args and errors: as `top_k`.
    """
    if logits.ndim != 2 or targets.shape != logits.shape[:1]:
        shapes = f"logits {tuple(logits.shape)} and targets {tuple(targets.shape)}"
        raise ValueError(f"{shapes}: need (n, C) and (n,)")
    classes = logits.shape[1]
    targets = targets.to(logits.device)
    strange = ((targets < -1) | (targets >= classes)).nonzero()
    if len(strange):
        row = int(strange[0])
        raise ValueError(f"target {int(targets[row])} of row {row}: need -1 (unknown) or 0..{classes - 1}")
    rows = (targets >= 0).nonzero().squeeze(1)
    if not len(rows):
        raise ValueError("no row has a known target (all are -1): there is nothing to score")
    scored = logits.detach() if len(rows) == len(logits) else logits.detach()[rows]
    broken = scored.isnan().any(1).nonzero()
    if len(broken):
        raise ValueError(f"the logits of row {int(rows[broken[0]])} contain NaN ({len(broken)} such rows)")
    return scored, targets[rows]
