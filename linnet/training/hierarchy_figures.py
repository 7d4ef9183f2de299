"""The figures of `metrics.hierarchy` for two levels of a taxonomy, and what chance scores for them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from linnet.metrics.accuracy import top_k
from linnet.metrics.chance import distance_chance, implied_coarse_chance, severity_chance, top_k_chance
from linnet.metrics.hierarchy import (
    hierarchical_distance,
    implied_coarse_top1,
    level_consistency,
    mistake_severity,
    without_singletons,
)
from linnet.taxonomy import Taxonomy

__all__ = ["hierarchy_figures", "hierarchy_floors"]

_DISTANCE_AT = (1, 5, 20)  # as Bertinetto et al. (2020) have them


def hierarchy_figures(
    taxonomy: Taxonomy, coarse: int, fine: int, targets: Tensor, fine_logits: Tensor, coarse_logits: Tensor | None
) -> dict[str, float]:
    """`mistake_severity`, `hierarchical_distance@k` and so on, as far as labels are there.

    Args:
        taxonomy: the classes.
        coarse, fine: two different levels, by number.
        targets: (n, L), -1 unknown.
        fine_logits: (n, F).
        coarse_logits: (n, C), or None.
    """
    found: dict[str, float] = {}
    parent = torch.from_numpy(taxonomy.ancestor(fine, coarse))
    labels = targets[:, fine]
    if bool((labels >= 0).any()):
        distance = torch.from_numpy(taxonomy.distance(fine))
        severity = mistake_severity(fine_logits, labels, distance)
        found |= {} if severity is None else {"mistake_severity": severity}
        distances = hierarchical_distance(fine_logits, labels, distance, _DISTANCE_AT)
        found |= {f"hierarchical_distance@{k}": value for k, value in distances.items()}
        several = without_singletons(labels, parent)
        if bool((several >= 0).any()):
            found["fine_top1_nonsingleton"] = top_k(fine_logits, several, (1,))[1]
    if bool((targets[:, coarse] >= 0).any()):
        found["coarse_top1_implied"] = implied_coarse_top1(fine_logits, targets[:, coarse], parent)
    if coarse_logits is not None:
        found["level_consistency"] = level_consistency(fine_logits, coarse_logits, parent)
    return found


def hierarchy_floors(taxonomy: Taxonomy, coarse: int, fine: int, targets: NDArray[np.int64]) -> dict[str, float]:
    """What a fine class guessed uniformly at random scores (and, for consistency, a coarse one), by the same names."""
    found: dict[str, float] = {}
    classes, parent = taxonomy.count(fine), taxonomy.ancestor(fine, coarse)
    labels = targets[:, fine]
    if (labels >= 0).any():
        distance = taxonomy.distance(fine)
        severity = severity_chance(labels, distance)
        found |= {} if severity is None else {"mistake_severity": severity}
        expected = distance_chance(labels, distance)
        found |= {f"hierarchical_distance@{k}": expected for k in _DISTANCE_AT if k <= classes}
        if (np.bincount(parent)[parent[labels[labels >= 0]]] > 1).any():
            found["fine_top1_nonsingleton"] = top_k_chance(classes)[1]
    if (targets[:, coarse] >= 0).any():
        found["coarse_top1_implied"] = implied_coarse_chance(targets[:, coarse], parent)
    return found | {"level_consistency": top_k_chance(taxonomy.count(coarse))[1]}
