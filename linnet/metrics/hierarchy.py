"""How wrong a fine classifier is by the hierarchy: severity of mistakes, distance, the coarse classes that follow.

Distance is the height of the lowest common ancestor (`Taxonomy.distance`), in levels: 0 for the class itself, 1 for a
sibling, and so on. Ties are pessimistic: of classes with equal logits the one farther from the truth stands first.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from linnet.metrics.accuracy import scored_rows

__all__ = [
    "hierarchical_distance",
    "implied_coarse_top1",
    "level_consistency",
    "mistake_severity",
    "without_singletons",
]

_CHUNK = 1 << 24
"""Logits looked at together."""


@torch.no_grad()
def mistake_severity(logits: Tensor, targets: Tensor, distance: Tensor) -> float | None:
    """Mean distance from the class named to the true one, over the images named wrongly, in levels; lower is better.

    The hierarchical distance of a mistake of Bertinetto et al. (2020). It says nothing of how many mistakes there are;
    None where there is none.

    Args:
        logits: (n, F) floating.
        targets: (n,) int64, -1 unknown and skipped.
        distance: (F, F) integers, heights of lowest common ancestors.

    Raises:
        ValueError: as `metrics.accuracy.top_k`, or the distances do not fit the classes.
    """
    first = _summed_distances(logits, targets, distance, (1,))[:, 0]
    return float(first.double().sum() / (first > 0).sum()) if bool((first > 0).any()) else None


@torch.no_grad()
def hierarchical_distance(
    logits: Tensor, targets: Tensor, distance: Tensor, ks: Sequence[int] = (1, 5, 20)
) -> dict[int, float]:
    """Mean distance between the true class and each of the k classes named first, in levels; lower is better.

    "Average hierarchical distance @k" of Bertinetto et al. (2020): over all labelled images, right or wrong. The least
    it can be for a k above 1 is above 0, and depends on the hierarchy. A k above the number of classes is left out.

    Args and errors: as `mistake_severity`; and ValueError where there is no k, or one below 1.
    """
    if not ks or min(ks) < 1:
        raise ValueError(f"ks is {tuple(ks)}; need one or more numbers, each at least 1")
    allowed = [k for k in ks if k <= logits.shape[1]]
    if not allowed:
        return {}
    sums = _summed_distances(logits, targets, distance, allowed)
    return {k: float(sums[:, at].sum()) / (k * len(sums)) for at, k in enumerate(allowed)}


def _summed_distances(logits: Tensor, targets: Tensor, distance: Tensor, ks: Sequence[int]) -> Tensor:
    """Sum of the distances of the k first classes of each labelled row, int64 (m, len(ks))."""
    scored, truth = scored_rows(logits, targets)
    if distance.shape != (logits.shape[1],) * 2:
        raise ValueError(f"distance {tuple(distance.shape)} of {logits.shape[1]} classes; need one row and column each")
    distance = distance.to(scored.device)
    size = max(1, _CHUNK // scored.shape[1])
    parts = zip(scored.split(size), truth.split(size), strict=True)
    return torch.cat([_first_distances(rows, distance[own].long(), ks) for rows, own in parts])


def _first_distances(scored: Tensor, far: Tensor, ks: Sequence[int]) -> Tensor:
    """As `_summed_distances`, for logits (m, F) and the distances (m, F) of every class from the row's own."""
    best = scored.topk(max(ks)).values
    sums = torch.empty(len(scored), len(ks), dtype=torch.int64, device=scored.device)
    tied = torch.zeros(len(scored), dtype=torch.bool, device=scored.device)
    for at, k in enumerate(ks):
        chosen = scored >= best[:, k - 1 : k]
        sums[:, at] = (far * chosen).sum(1)
        tied |= chosen.sum(1) > k
    if bool(tied.any()):  # only they need sorting: by logit, and of equal ones the farther first
        farthest = far[tied].argsort(dim=1, descending=True, stable=True)
        order = scored[tied].gather(1, farthest).argsort(dim=1, descending=True, stable=True)
        along = far[tied].gather(1, farthest).gather(1, order).cumsum(1)
        sums[tied] = along[:, torch.tensor([k - 1 for k in ks], device=along.device)]
    return sums


@torch.no_grad()
def implied_coarse_top1(logits: Tensor, coarse: Tensor, parent: Tensor) -> float:
    """Share of images whose coarse class is that of the fine class named, in percent (0 to 100).

    Args:
        logits: (n, F) fine logits.
        coarse: (n,) int64 coarse classes, -1 unknown and skipped.
        parent: (F,) int64, the coarse class of each fine class.

    Raises:
        ValueError: shapes do not fit, no row is labelled, or a logit is NaN.
    """
    scored, _ = scored_rows(logits, coarse.clamp(-1, 0))
    hits = _all_named_under(scored, coarse[coarse >= 0], parent)
    return 100.0 * int(hits.sum()) / len(hits)


@torch.no_grad()
def level_consistency(fine_logits: Tensor, coarse_logits: Tensor, parent: Tensor) -> float:
    """Share of images whose coarse class named is the parent of the fine class named, in percent (0 to 100).

    No label is needed. An image with a tie between coarse classes, or between fine classes of different ones, is not
    consistent.

    Args:
        fine_logits: (n, F).
        coarse_logits: (n, C).
        parent: (F,) int64.

    Raises:
        ValueError: shapes do not fit, no image, or a logit is NaN.
    """
    everywhere = torch.zeros(len(fine_logits), dtype=torch.int64)
    fine, _ = scored_rows(fine_logits, everywhere)
    coarse, _ = scored_rows(coarse_logits, everywhere)
    alone = (coarse == coarse.amax(1, keepdim=True)).sum(1) == 1
    same = _all_named_under(fine, coarse.argmax(1), parent)
    return 100.0 * int((same & alone).sum()) / len(same)


def _all_named_under(logits: Tensor, coarse: Tensor, parent: Tensor) -> Tensor:
    """Whether the class of highest logit, and all that tie with it, lie under the given coarse class: bool (n,)."""
    if parent.shape != logits.shape[1:]:
        raise ValueError(f"logits {tuple(logits.shape)} and parent {tuple(parent.shape)}: need (n, F) and (F,)")
    elsewhere = parent.to(logits.device) != coarse.to(logits.device)[:, None]
    return ~((logits == logits.amax(1, keepdim=True)) & elsewhere).any(1)


def without_singletons(targets: Tensor, parent: Tensor) -> Tensor:
    """Fine targets (n,) with -1 in place of classes that are the only child of their parent.

    They are named right as soon as their coarse class is, so accuracy over the others alone says what was learnt of
    fine differences.
    """
    children = torch.bincount(parent)[parent].to(targets.device)
    single = (targets >= 0) & (children[targets.clamp_min(0)] == 1)
    return targets.masked_fill(single, -1)
