"""The figures of a method that names a coarse class and then a fine one, each with the floors that belong beside it."""

from __future__ import annotations

import torch
from torch import Tensor

from linnet.metrics.accuracy import top_k
from linnet.metrics.chance import top_k_chance
from linnet.metrics.hierarchy import without_singletons
from linnet.metrics.restricted import largest_child, named_coarse, restricted_chance, restricted_top_k
from linnet.taxonomy import Taxonomy

__all__ = ["protocol_figures", "protocol_floors"]


def protocol_figures(
    taxonomy: Taxonomy, coarse: int, fine: int, targets: Tensor, fine_logits: Tensor, coarse_logits: Tensor
) -> dict[str, float]:
    """Figures of naming a coarse class and one of its children, in percent; {} where no image has a fine label.

    `fine_top1_restricted`, `fine_top5_restricted`: fine classes compete among the children of the coarse class named,
    and a wrong coarse class is a wrong fine one (paper 000, Eq. 7). `fine_top1_open`, `fine_top5_open`: all compete,
    the same figures as `fine_top1` and `fine_top5`. `fine_top1_oracle_coarse`: the true coarse class is told.
    `fine_top1_uniform_child`, `fine_top1_largest_child`: the coarse class named, and then a child that knows nothing of
    the image (see `metrics.restricted`). `..._nonsingleton`: over images whose parent has more than one child.

    Args:
        taxonomy: the classes.
        coarse, fine: two different levels, by number.
        targets: (n, L), -1 unknown.
        fine_logits, coarse_logits: (n, F), (n, C).
    """
    labels = targets[:, fine]
    if not bool((labels >= 0).any()):
        return {}
    parent = torch.from_numpy(taxonomy.ancestor(fine, coarse))
    named, true = named_coarse(coarse_logits), _true_coarse(labels, parent)
    found = {f"fine_top{k}_open": value for k, value in top_k(fine_logits, labels).items()}
    restricted = restricted_top_k(fine_logits, labels, named, parent)
    found |= {f"fine_top{k}_restricted": value for k, value in restricted.items()}
    found["fine_top1_oracle_coarse"] = restricted_top_k(fine_logits, labels, true, parent)[1]
    found["fine_top1_uniform_child"] = restricted_chance(labels, parent, named == true)[1]
    found["fine_top1_largest_child"] = largest_child(labels, parent, named == true)
    several = without_singletons(labels, parent)
    if bool((several >= 0).any()):
        for name, given in (("restricted", named), ("oracle_coarse", true)):
            value = restricted_top_k(fine_logits, several, given, parent, (1,))[1]
            found[f"fine_top1_{name}_nonsingleton"] = value
    return found


def protocol_floors(
    taxonomy: Taxonomy, coarse: int, fine: int, targets: Tensor, coarse_logits: Tensor | None
) -> dict[str, float]:
    """What guessing the child of the coarse class named scores (of the open ones any fine class), by the same names.

    `fine_top1_nonsingleton`, an open figure, has that floor too: with the coarse class in hand a guess among its
    children is what knows nothing of fine classes.

    Args:
        taxonomy, coarse, fine, targets: as `protocol_figures`.
        coarse_logits: (n, C); None stands for a coarse class guessed at random, and leaves that last floor out.
    """
    labels = targets[:, fine]
    if not bool((labels >= 0).any()):
        return {}
    parent = torch.from_numpy(taxonomy.ancestor(fine, coarse))
    right: Tensor | float = 1 / taxonomy.count(coarse)
    if coarse_logits is not None:
        right = named_coarse(coarse_logits) == _true_coarse(labels, parent)
    found = {f"fine_top{k}_open": value for k, value in top_k_chance(len(parent)).items()}
    guessed = restricted_chance(labels, parent, right)
    found |= {f"fine_top{k}_restricted": value for k, value in guessed.items()}
    found |= dict.fromkeys(("fine_top1_uniform_child", "fine_top1_largest_child"), guessed[1])
    found["fine_top1_oracle_coarse"] = restricted_chance(labels, parent)[1]
    several = without_singletons(labels, parent)
    if bool((several >= 0).any()):
        found["fine_top1_oracle_coarse_nonsingleton"] = restricted_chance(several, parent)[1]
        found["fine_top1_restricted_nonsingleton"] = restricted_chance(several, parent, right)[1]
        if coarse_logits is not None:
            found["fine_top1_nonsingleton"] = found["fine_top1_restricted_nonsingleton"]
    return found


def _true_coarse(labels: Tensor, parent: Tensor) -> Tensor:
    """The coarse class of each fine label, (n,); -2 where there is none, which no coarse class named equals."""
    return torch.where(labels >= 0, parent[labels.clamp_min(0)], -2)
