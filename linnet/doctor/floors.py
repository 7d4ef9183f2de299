"""What guessing would score on a collection's labels, level by level."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from linnet.manifest import Manifest
from linnet.metrics.chance import recall_chance, top_k_chance
from linnet.metrics.restricted import largest_child, restricted_chance

__all__ = ["Floor", "floors", "scored_split"]


@dataclass(frozen=True)
class Floor:
    """What guessing scores at one level, in percent.

    Attributes:
        level: its name.
        classes: how many there are.
        images: labelled images that are scored.
        chance: a class drawn at random.
        majority: always the class with most of these images; `majority_class` is its name.
        recall: the chance that a neighbour drawn at random is of the image's class.
        child: a child drawn at random, once the class one level above is right; None at the coarsest level.
        largest_child: always the child with most of these images, likewise.
    """

    level: str
    classes: int
    images: int
    chance: float
    majority: float
    majority_class: str
    recall: float
    child: float | None
    largest_child: float | None


def scored_split(manifest: Manifest) -> str | None:
    """The split that figures would be measured on: test, else validation; None stands for all images."""
    return next((name for name in ("test", "validation") if name in manifest.split_names), None)


def floors(manifest: Manifest) -> list[Floor]:
    """The floors of every level that has labels in the split that figures would be measured on."""
    targets = manifest.targets[manifest.rows(scored_split(manifest))]
    return [_floor(manifest, targets, level) for level in range(targets.shape[1]) if (targets[:, level] >= 0).any()]


def _floor(manifest: Manifest, targets: NDArray[np.int64], level: int) -> Floor:
    tree, labels = manifest.taxonomy, targets[:, level]
    counts = np.bincount(labels[labels >= 0], minlength=tree.count(level))
    child = largest = None
    if level:
        fine, parent = torch.from_numpy(labels), torch.from_numpy(np.asarray(tree.parents[level], np.int64))
        child, largest = restricted_chance(fine, parent)[1], largest_child(fine, parent)
    return Floor(
        level=tree.levels[level],
        classes=tree.count(level),
        images=int(counts.sum()),
        chance=top_k_chance(tree.count(level), (1,))[1],
        majority=float(100 * counts.max() / counts.sum()),
        majority_class=tree.classes[level][int(counts.argmax())],
        recall=recall_chance(labels, (1,))[1],
        child=child,
        largest_child=largest,
    )
