"""From a manifest and a recipe to what training needs: levels, rows of each split, and the task."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from linnet.errors import ManifestError, RecipeError, nearest
from linnet.manifest import Manifest
from linnet.methods import check_supervision
from linnet.methods.base import Need, Task
from linnet.randomness import permutation
from linnet.recipes import Recipe
from linnet.taxonomy import Taxonomy

__all__ = ["TrainingData", "available", "carve", "memberships", "prepare", "restrict"]

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class TrainingData:
    """A manifest with its two levels chosen and its rows shared out.

    Attributes:
        coarse, fine: level numbers.
        rows: row numbers by split name: "train", "validation", and what else the manifest names ("test").
        carved: whether the validation rows were taken from train by Linnet.
    """

    manifest: Manifest
    coarse: int
    fine: int
    rows: dict[str, Rows]
    carved: bool

    def task(self, *, instances: bool = True) -> Task:
        """The task for a method; without `instances` one that only predicts."""
        coarse = self.manifest.targets[self.rows["train"], self.coarse] if instances else []
        return Task(
            membership=torch.from_numpy(self.manifest.taxonomy.membership(self.coarse, self.fine)),
            coarse_level=self.coarse,
            fine_level=self.fine,
            coarse_of_instance=torch.as_tensor(np.asarray(coarse, dtype=np.int64)),
            memberships=memberships(self.manifest.taxonomy, self.fine),
        )


def memberships(taxonomy: Taxonomy, fine: int) -> tuple[torch.Tensor, ...]:
    """Which fine classes lie under each class: bool (C_l, F) for every level l from the coarsest to the fine one."""
    return tuple(torch.from_numpy(taxonomy.membership(level, fine)) for level in range(fine + 1))


def prepare(recipe: Recipe, manifest: Manifest) -> TrainingData:
    """Choose levels, keep the recipe's classes, share out the rows, and check that the labels allow the method.

    Raises:
        RecipeError: levels or classes that the data does not have, or no validation images to select on.
        ManifestError: no training images.
        SupervisionError: the labels do not allow the method.
    """
    taxonomy = manifest.taxonomy
    coarse = taxonomy.level(recipe.coarse) if recipe.coarse is not None else 0
    fine = taxonomy.level(recipe.fine) if recipe.fine is not None else len(taxonomy.levels) - 1
    if coarse > fine:
        raise RecipeError(
            f"coarse = {taxonomy.levels[coarse]!r} is finer than fine = {taxonomy.levels[fine]!r}; "
            f"levels from coarsest to finest: {', '.join(taxonomy.levels)}"
        )
    if recipe.classes is not None:
        manifest = restrict(manifest, coarse, recipe.classes)
    without = np.flatnonzero(manifest.split_codes < 0)
    if manifest.split_names and len(without):
        first = ", ".join(manifest.where(int(row)) for row in without[:5])
        raise ManifestError(
            f"{manifest.source}: {len(without)} images have no split while others do ({first}); "
            "fill the column split for them, or leave it out and Linnet keeps a validation share itself"
        )
    rows = {name: manifest.rows(name) for name in manifest.split_names} or {"train": manifest.rows(None)}
    if not len(rows.get("train", ())):
        raise ManifestError(
            f"{manifest.source}: no image has split 'train' (splits there: {', '.join(manifest.split_names)})"
        )
    carved = recipe.validation > 0 and not len(rows.get("validation", ()))
    if carved:
        rows["train"], rows["validation"] = carve(
            rows["train"], manifest.targets[:, coarse], recipe.validation, recipe.seed
        )
    if recipe.select_on != "last" and not len(rows.get(recipe.select_on, ())):
        few = f" (validation = {recipe.validation:g} of {len(rows['train'])} training images rounds to none)"
        raise RecipeError(
            f"select_on = {recipe.select_on!r}, but there are no {recipe.select_on} images{few if carved else ''}; "
            f"give {'a larger' if carved else 'a'} validation share, or select_on = 'last' to keep the last epoch"
        )
    data = TrainingData(manifest, coarse, fine, rows, carved)
    check_supervision(recipe.method, available(data), manifest.source, _blanks(data))
    return data


def _blanks(data: TrainingData) -> str:
    """Training rows without a coarse label, for a message; '' when none has one."""
    train = data.rows["train"]
    blank = train[data.manifest.targets[train, data.coarse] < 0]
    if not 0 < len(blank) < len(train):
        return ""
    first = ", ".join(data.manifest.where(int(row)) for row in blank[:5])
    return (
        f". {len(blank)} of {len(train)} training images have no {data.manifest.taxonomy.levels[data.coarse]} label "
        f"({first}{', ...' if len(blank) > 5 else ''}): label them, or take their rows out"
    )


def available(data: TrainingData) -> set[Need]:
    """The supervision that the training rows offer."""
    targets = data.manifest.targets[data.rows["train"]]
    known = targets[:, data.fine] >= 0
    have = set()
    if bool((targets[:, data.coarse] >= 0).all()):
        have.add(Need.COARSE)
    if data.fine != data.coarse:
        have |= {Need.SOME_FINE} if known.any() else set()
        have |= {Need.ALL_FINE} if known.all() else set()
    if data.manifest.attributes is not None:
        have.add(Need.ATTRIBUTES)
    return have


def carve(train: Rows, classes: NDArray[np.int64], share: float, seed: int) -> tuple[Rows, Rows]:
    """Split `share` of the training rows off for validation, class by class; a class keeps at least one image.

    Stratified by the coarse class alone, so that no fine label has a say for a method that has none.

    Returns:
        Training and validation rows, each ascending.
    """
    taken = []
    for label in np.unique(classes[train]):
        members = train[classes[train] == label]
        count = min(round(share * len(members)), len(members) - 1)
        taken.append(members[permutation(len(members), seed, "validation", int(label))[:count]])
    held = np.sort(np.concatenate(taken))
    return np.setdiff1d(train, held), held


def restrict(manifest: Manifest, level: int, names: tuple[str, ...]) -> Manifest:
    """Keep only the images and classes under the named classes of one level (levels above it keep their classes).

    Raises:
        RecipeError: a name that is no class of that level.
    """
    old = manifest.taxonomy
    for name in names:
        if name not in old.classes[level]:
            raise RecipeError(
                f"classes: {name!r} is no class of level {old.levels[level]!r}{nearest(name, old.classes[level])}"
            )
    kept = [np.arange(len(classes)) for classes in old.classes]
    kept[level] = np.flatnonzero(np.isin(old.classes[level], names))
    for deeper in range(level + 1, len(old.levels)):
        kept[deeper] = np.flatnonzero(np.isin(old.parents[deeper], kept[deeper - 1]))
    number = []
    for classes, keep in zip(old.classes, kept, strict=True):
        renumbered = np.full(len(classes) + 1, -1, dtype=np.int64)  # the last place answers for label -1
        renumbered[keep] = np.arange(len(keep))
        number.append(renumbered)
    taxonomy = Taxonomy(
        levels=old.levels,
        classes=tuple(tuple(c[i] for i in k) for c, k in zip(old.classes, kept, strict=True)),
        parents=(
            (),
            *(tuple(int(number[deep - 1][old.parents[deep][i]]) for i in kept[deep]) for deep in range(1, len(kept))),
        ),
    )
    part = manifest.select(np.flatnonzero(np.isin(manifest.targets[:, level], kept[level])))
    targets = np.stack([number[deep][part.targets[:, deep]] for deep in range(len(kept))], axis=1)
    return replace(part, taxonomy=taxonomy, targets=targets)
