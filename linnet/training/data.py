"""From a manifest and a recipe to what training needs: levels, rows of each split, and the task."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from linnet.errors import ManifestError, RecipeError, SupervisionError, nearest
from linnet.hierarchy import first_few
from linnet.manifest import Manifest
from linnet.methods import METHODS, check_supervision, method_class
from linnet.methods.base import Need, Task
from linnet.recipes import Recipe
from linnet.taxonomy import Taxonomy
from linnet.training.descriptions import check_descriptions, class_attributes, undescribed
from linnet.training.part_labels import draw_part, levels_of
from linnet.training.seen import seen_classes

__all__ = ["TrainingData", "available", "memberships", "prepare", "restrict"]

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class TrainingData:
    """A manifest with its two levels chosen and its rows shared out.

    Attributes:
        coarse, fine: level numbers.
        rows: row numbers by split name: "train", "validation", and what else the manifest names ("test").
        carved: whether the validation rows were taken from train by Linnet.
        seen: bool (F,), the fine classes that have labels where the recipe leaves others without; else None.
    """

    manifest: Manifest
    coarse: int
    fine: int
    rows: dict[str, Rows]
    carved: bool
    seen: NDArray[np.bool_] | None = None

    def fine_known(self, split: str) -> NDArray[np.bool_]:
        """Which rows of a split have a fine label, bool (n,)."""
        return np.asarray(self.manifest.targets[self.rows[split], self.fine] >= 0)

    def task(self, *, instances: bool = True) -> Task:
        """The task for a method; without `instances` one that only predicts."""
        coarse = self.manifest.targets[self.rows["train"], self.coarse] if instances else []
        coarse_attributes, fine_attributes = class_attributes(self.manifest, self.coarse, self.fine)
        return Task(
            membership=torch.from_numpy(self.manifest.taxonomy.membership(self.coarse, self.fine)),
            coarse_level=self.coarse,
            fine_level=self.fine,
            coarse_of_instance=torch.as_tensor(np.asarray(coarse, dtype=np.int64)),
            memberships=memberships(self.manifest.taxonomy, self.fine),
            coarse_attributes=coarse_attributes,
            fine_attributes=fine_attributes,
            seen=torch.from_numpy(self.seen) if self.seen is not None else torch.empty(0, dtype=torch.bool),
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
    coarse, fine = levels_of(recipe, manifest.taxonomy)
    if recipe.classes is not None:
        manifest = restrict(manifest, coarse, recipe.classes)
    manifest, rows, carved = draw_part(recipe, manifest)
    if recipe.labelled_only:
        for name in {"train", "validation"} & rows.keys():
            rows[name] = rows[name][manifest.targets[rows[name], fine] >= 0]
        if not len(rows["train"]):
            level = manifest.taxonomy.levels[fine]
            raise ManifestError(f"{manifest.source}: labelled_only = true, but no training image has a {level} label")
    _check_selection(recipe, rows, carved)
    seen = seen_classes(recipe, manifest.taxonomy, coarse, fine)
    data = TrainingData(manifest, coarse, fine, rows, carved, seen)
    have = available(data) | ({Need.TEACHER} if recipe.options.get("teacher") else set())
    needs = method_class(recipe.method).needs
    check_supervision(recipe.method, have, manifest.source, _missing(data, needs - have))
    if Need.ATTRIBUTES in needs:
        check_descriptions(manifest, coarse, fine)
    if needs & {Need.SOME_FINE, Need.ATTRIBUTES}:
        _check_children(recipe.method, data)
    return data


def _check_selection(recipe: Recipe, rows: dict[str, Rows], carved: bool) -> None:
    """Refuse to select on a split without images."""
    if recipe.select_on == "last" or len(rows.get(recipe.select_on, ())):
        return
    few = f" (validation = {recipe.validation:g} of {len(rows['train'])} training images rounds to none)"
    raise RecipeError(
        f"select_on = {recipe.select_on!r}, but there are no {recipe.select_on} images{few if carved else ''}; "
        f"give {'a larger' if carved else 'a'} validation share, or select_on = 'last' to keep the last epoch"
    )


def _check_children(method: str, data: TrainingData) -> None:
    """Refuse coarse classes without a fine one, for a method that goes from one to the other."""
    taxonomy, labels = data.manifest.taxonomy, data.manifest.targets[:, data.coarse]
    childless = np.flatnonzero(~taxonomy.membership(data.coarse, data.fine).max(1, initial=False)).tolist()
    if not childless:
        return
    coarse, fine = taxonomy.levels[data.coarse], taxonomy.levels[data.fine]
    rows = [np.flatnonzero(labels == number)[:1].tolist() for number in childless[:5]]
    names = [repr(taxonomy.classes[data.coarse][number]) for number in childless]
    told = [name + "".join(f" ({data.manifest.where(r)})" for r in row) for name, row in zip(names, rows, strict=False)]
    raise SupervisionError(
        f"method {method!r} needs a {fine} class under every {coarse} class, and {len(childless)} have none: "
        f"{', '.join(told)}{', ...' if len(childless) > 5 else ''}. Label an image of each with a {fine} class, take "
        "their rows out, or keep only the others with the setting classes"
    )


def _missing(data: TrainingData, needs: frozenset[Need]) -> str:
    """The training rows that lack what `needs` asks for, and what can be done, for a message; '' where all do."""
    levels, train = data.manifest.taxonomy.levels, data.rows["train"]
    targets = data.manifest.targets[train]
    if data.coarse == data.fine and needs & {Need.SOME_FINE, Need.ALL_FINE, Need.ANY_LEVEL}:
        return f". It would learn from {levels[data.fine]} labels alone: name two levels, coarse and fine"
    if Need.TEACHER in needs:
        return ". Name its folder: teacher=runs/NAME"
    if Need.ATTRIBUTES in needs:
        return _lacking_attributes(data)
    if Need.ALL_FINE in needs:
        lacking, what = targets[:, data.fine] < 0, f"have no {levels[data.fine]} label"
        both = [name for name in METHODS if method_class(name).needs & {Need.SOME_FINE, Need.ANY_LEVEL}]
        advice = f"train on the others alone with labelled_only = true, or on all with method {' or '.join(both)}"
    elif Need.COARSE in needs:
        lacking, what = targets[:, data.coarse] < 0, f"have no {levels[data.coarse]} label"
        advice = "label them, or take their rows out"
    elif Need.ANY_LEVEL in needs:
        lacking, what = ~_reaches_fine(data), f"have no label with {levels[data.fine]} classes under it"
        advice = f"give their classes a {levels[data.fine]} class of their own, or take their rows out"
    else:
        return ""
    if not 0 < lacking.sum() < len(train):
        return ""
    first = ", ".join(_named(data.manifest, row) for row in train[lacking][:5].tolist())
    more = ", ..." if lacking.sum() > 5 else ""
    return f". {lacking.sum()} of {len(train)} training images {what} ({first}{more}): {advice}"


def _lacking_attributes(data: TrainingData) -> str:
    """What the attributes table lacks, for a message."""
    manifest = data.manifest
    if manifest.attributes is None:
        return ". Give a table of attributes, a class name and then numbers in each row: attributes = 'FILE'"
    missing = undescribed(manifest, data.coarse, data.fine)
    return (
        f". Its attributes table describes {len(manifest.attributes.names)} classes, and not these:\n"
        f"{first_few(missing)}\nAdd a row for each, or leave their images out with the setting classes"
    )


def _named(manifest: Manifest, row: int) -> str:
    """Where a row stands, and its finest label."""
    known = np.flatnonzero(manifest.targets[row] >= 0)
    label = f" {manifest.taxonomy.classes[known[-1]][manifest.targets[row, known[-1]]]!r}" if len(known) else ""
    return manifest.where(row) + label


def _reaches_fine(data: TrainingData) -> NDArray[np.bool_]:
    """Which training rows have a label with fine classes under it, or a fine label, bool (N,)."""
    targets = data.manifest.targets[data.rows["train"]]
    found = np.zeros(len(targets), dtype=np.bool_)
    for level in range(data.fine + 1):  # the deepest label that is known decides
        fertile: NDArray[np.bool_] = data.manifest.taxonomy.membership(level, data.fine).max(1, initial=False)
        known = targets[:, level] >= 0
        found[known] = fertile[targets[known, level]]
    return found


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
        have |= {Need.ANY_LEVEL} if bool(_reaches_fine(data).all()) else set()
    if data.manifest.attributes is not None and not undescribed(data.manifest, data.coarse, data.fine):
        have.add(Need.ATTRIBUTES)
    return have


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
