"""Fine classes with labels and fine classes with a description only: which are seen, and hiding the labels of the rest.

The generalised protocol of zero-shot learning (Xian et al. 2018): some classes are labelled in training, all are named
in the end, and the harmonic mean of the accuracies on both kinds says how well that goes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from linnet.errors import RecipeError, nearest
from linnet.manifest import Manifest
from linnet.metrics.accuracy import top_k
from linnet.metrics.chance import top_k_chance
from linnet.randomness import generator, permutation
from linnet.recipes import Recipe
from linnet.taxonomy import Taxonomy

__all__ = ["draw_seen", "hide_unseen", "seen_classes", "seen_figures", "seen_floors"]

Rows = NDArray[np.int64]
Seen = NDArray[np.bool_]


def seen_classes(recipe: Recipe, taxonomy: Taxonomy, coarse: int, fine: int) -> Seen | None:
    """Which fine classes have labels, bool (F,), by the recipe's `seen` or `seen_classes`; None where it says neither.

    Raises:
        RecipeError: a name that is no fine class; no class, or every class, would be seen; there is one level only.
    """
    if recipe.seen is None and recipe.seen_classes is None:
        return None
    level, names = taxonomy.levels[fine], taxonomy.classes[fine]
    if coarse == fine:
        raise RecipeError(
            f"seen: unseen classes keep a coarse label, and {level!r} is the one level there is; name two"
        )
    if recipe.seen_classes is not None:
        for name in recipe.seen_classes:
            if name not in names:
                raise RecipeError(f"seen_classes: {name!r} is no class of level {level!r}{nearest(name, names)}")
        found = np.isin(names, recipe.seen_classes)
    else:
        assert recipe.seen is not None
        found = draw_seen(taxonomy, coarse, fine, recipe.seen, recipe.seed)
    if found.all() or not found.any():
        raise RecipeError(
            f"seen: {found.sum()} of {len(names)} {level} classes would have labels; give some classes labels, and "
            "leave some without"
        )
    return found


def draw_seen(taxonomy: Taxonomy, coarse: int, fine: int, share: float, seed: int) -> Seen:
    """Draw fine classes, bool (F,): of the n children of every coarse class share n of them, rounded up or down.

    Coarse classes, and the children of each, are put in a random order on one line, and every 1/share-th place is
    taken, from a random start: so of all F classes, too, it is share F, rounded up or down.

    Args:
        taxonomy: the classes; another order of them draws the same names.
        coarse, fine: two different levels, by number.
        share: 0 < share < 1.
        seed: key of the draw.
    """
    low, high = taxonomy.classes[fine], taxonomy.classes[coarse]
    by_name = sorted(range(len(high)), key=high.__getitem__)
    line: list[int] = []
    for group in [by_name[at] for at in permutation(len(high), seed, "order of coarse classes")]:
        children = sorted(taxonomy.candidates(group, coarse, fine).tolist(), key=low.__getitem__)
        line += [children[at] for at in permutation(len(children), seed, f"seen of {high[group]}")]
    places = np.floor(generator(seed, "seen").random() + share * np.arange(len(line) + 1))
    found = np.zeros(len(low), dtype=np.bool_)
    found[np.array(line, dtype=np.int64)[np.diff(places) > 0]] = True
    return found


def hide_unseen(manifest: Manifest, rows: Mapping[str, Rows], coarse: int, fine: int, seen: Seen) -> Manifest:
    """The manifest where training and validation images of unseen classes keep their labels down to the coarse level.

    What lies between the two levels is hidden with the fine label. Other splits keep every label.
    """
    targets = manifest.targets.copy()
    for name in {"train", "validation"} & rows.keys():
        fine_labels = targets[rows[name], fine]
        hidden = rows[name][(fine_labels >= 0) & ~seen[fine_labels]]
        targets[hidden, coarse + 1 :] = -1
    return replace(manifest, targets=targets)


def seen_figures(fine_logits: Tensor, labels: Tensor, seen: Seen) -> dict[str, float]:
    """`fine_top1_seen`, `fine_top1_unseen`, over images of either kind, and `fine_top1_harmonic`, in percent.

    All fine classes compete. The harmonic mean 2 s u / (s + u) is 0 where one of them is; a figure without a labelled
    image is left out.

    Args:
        fine_logits: (n, F).
        labels: (n,) fine classes, -1 unknown.
        seen: (F,).
    """
    found = {f"fine_top1_{name}": top_k(fine_logits, part, (1,))[1] for name, part in _parts(labels, seen).items()}
    if len(found) == 2:
        both = list(found.values())
        found["fine_top1_harmonic"] = 2 * both[0] * both[1] / sum(both) if all(both) else 0.0
    return found


def seen_floors(labels: Tensor, seen: Seen) -> dict[str, float]:
    """What a fine class guessed uniformly at random scores for `seen_figures`, by the same names: 100 / F each."""
    parts = _parts(labels, seen)
    names = [*parts, "harmonic"] if len(parts) == 2 else list(parts)
    return {f"fine_top1_{name}": top_k_chance(len(seen))[1] for name in names}


def _parts(labels: Tensor, seen: Seen) -> dict[str, Tensor]:
    """Labels of seen and of unseen classes, -1 elsewhere; kinds without an image are left out."""
    of_seen = torch.from_numpy(seen)[labels.clamp_min(0)]
    parts = {"seen": labels.masked_fill(~of_seen, -1), "unseen": labels.masked_fill(of_seen, -1)}
    return {name: part for name, part in parts.items() if bool((part >= 0).any())}
