"""Fine classes named among the children of a coarse class: the restricted protocol of paper 000, and its floors.

A method names a coarse class, then one of its children (Eq. 7); where the coarse class is wrong, so is the fine one.
Much of such a figure is owed to the coarse class alone: a parent with one child names it for nothing. So beside it
stand what guessing a child scores, and what the method scores once the true coarse class is told.
Ties are pessimistic: an image whose highest coarse logit is there twice has no coarse class named.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from linnet.metrics.accuracy import scored_rows

__all__ = ["largest_child", "named_coarse", "restricted_chance", "restricted_top_k"]

_CHUNK = 1 << 24
"""Logits looked at together."""


@torch.no_grad()
def named_coarse(coarse_logits: Tensor) -> Tensor:
    """The coarse class of the highest logit, int64 (n,); -1 where two share it.

    Raises:
        ValueError: no (n, C), no image, or a logit is NaN.
    """
    scores, _ = scored_rows(coarse_logits, torch.zeros(len(coarse_logits), dtype=torch.int64))
    tied = (scores == scores.amax(1, keepdim=True)).sum(1) > 1
    return scores.argmax(1).masked_fill(tied, -1)


@torch.no_grad()
def restricted_top_k(
    fine_logits: Tensor, targets: Tensor, coarse: Tensor, parent: Tensor, ks: Sequence[int] = (1, 5)
) -> dict[int, float]:
    """Share of images whose fine class is among the k highest of the children of `coarse`, in percent, for every k.

    With the coarse class that the method names this is Sub_R1 and Sub_R5 of paper 000; with the true one, what is left
    to do once the coarse class is right.

    Args:
        fine_logits: (n, F).
        targets: (n,) fine classes, -1 unknown and skipped.
        coarse: (n,) int64, the coarse class whose children are the candidates; -1 for none, which is a miss.
        parent: (F,) int64, the coarse class of each fine one.
        ks: which k, each at least 1.

    Raises:
        ValueError: shapes do not fit, a k below 1, no labelled image, or a logit is NaN.
    """
    if not ks or min(ks) < 1 or parent.shape != fine_logits.shape[1:] or coarse.shape != targets.shape:
        raise ValueError(
            f"logits {tuple(fine_logits.shape)}, targets {tuple(targets.shape)}, coarse {tuple(coarse.shape)}, parent "
            f"{tuple(parent.shape)}, ks {tuple(ks)}: need (n, F), (n,), (n,), (F,), and every k at least 1"
        )
    scored, truth = scored_rows(fine_logits, targets)
    parent, given = parent.to(scored.device), coarse[targets >= 0].to(scored.device)
    size = max(1, _CHUNK // len(parent))
    pieces = zip(scored.split(size), truth.split(size), given.split(size), strict=True)
    before = torch.cat(
        [((rows >= rows.gather(1, own[:, None])) & (parent == of[:, None])).sum(1) - 1 for rows, own, of in pieces]
    )
    right = parent[truth] == given
    return {int(k): 100.0 * int((right & (before < k)).sum()) / len(truth) for k in ks}


def restricted_chance(
    targets: Tensor, parent: Tensor, right: Tensor | float = 1.0, ks: Sequence[int] = (1, 5)
) -> dict[int, float]:
    """Expected `restricted_top_k` when k different children are drawn at random: the uniform-child floor, in percent.

        100 / m  sum_i P(coarse right)_i  min(k, n_i) / n_i        over m labelled images

    where n_i is the number of children that the parent of image i's true class has.

    Args:
        targets: (n,) fine classes, -1 unknown and skipped.
        parent: (F,).
        right: (n,) whether (or with what chance) the coarse class is right; or one chance for all.
        ks: which k.

    Raises:
        ValueError: no image is labelled.
    """
    truth, chance = _labelled(targets, right)
    children = torch.bincount(parent)[parent[truth]].double()
    return {int(k): 100.0 * float((chance * children.clamp(max=k) / children).mean()) for k in ks}


def largest_child(targets: Tensor, parent: Tensor, right: Tensor | float = 1.0) -> float:
    """Accuracy of always naming the child with most images under the coarse class, in percent.

        100 / m  sum_i P(coarse right)_i  [class of image i is the largest child of its parent]

    The largest child is counted on these very labels, which no method sees: the floor is as high as a constant answer
    makes it. Of children of one size the one whose images have their coarse class right more often counts.

    Args and errors: as `restricted_chance`.
    """
    truth, chance = _labelled(targets, right)
    sizes = torch.bincount(truth, minlength=len(parent))
    hits = torch.zeros(len(parent), dtype=torch.float64).index_add_(0, truth, chance)
    best: dict[int, tuple[int, float]] = {}
    for group, size, hit in zip(parent.tolist(), sizes.tolist(), hits.tolist(), strict=True):
        best[group] = max(best.get(group, (0, 0.0)), (size, hit))
    return 100.0 * sum(hit for _, hit in best.values()) / len(truth)


def _labelled(targets: Tensor, right: Tensor | float) -> tuple[Tensor, Tensor]:
    """The known targets (m,), and the chance of a right coarse class of each, float64 (m,)."""
    known = targets >= 0
    if not bool(known.any()):
        raise ValueError("no image has a label (all are -1): there is nothing to score")
    chance = torch.as_tensor(right, dtype=torch.float64).expand(len(targets))
    return targets[known], chance[known]
