"""Which training images show their fine label, and which are kept back to select on: drawn by key, numpy alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from linnet.errors import ManifestError, RecipeError
from linnet.manifest import Manifest
from linnet.randomness import permutation
from linnet.recipes import Recipe
from linnet.taxonomy import Taxonomy
from linnet.training.seen import hide_unseen, seen_classes

__all__ = ["carve", "draw_labels", "draw_part", "hide_fine", "levels_of", "part_labelled", "splits"]

Rows = NDArray[np.int64]


def levels_of(recipe: Recipe, taxonomy: Taxonomy) -> tuple[int, int]:
    """The numbers of the coarse and the fine level of a recipe.

    Raises:
        TaxonomyError, RecipeError: there is no such level, or the coarse one is finer than the fine one.
    """
    coarse = taxonomy.level(recipe.coarse) if recipe.coarse is not None else 0
    fine = taxonomy.level(recipe.fine) if recipe.fine is not None else len(taxonomy.levels) - 1
    if coarse > fine:
        raise RecipeError(
            f"coarse = {taxonomy.levels[coarse]!r} is finer than fine = {taxonomy.levels[fine]!r}; "
            f"levels from coarsest to finest: {', '.join(taxonomy.levels)}"
        )
    return coarse, fine


def draw_part(recipe: Recipe, manifest: Manifest) -> tuple[Manifest, dict[str, Rows], bool]:
    """Hide fine labels and keep images back, as a recipe's seen, label_fraction, coarse_fraction and validation say.

    Returns:
        The manifest without the hidden labels; the rows that are used, by split; whether "validation" was carved.

    Raises:
        RecipeError: fine labels are to be hidden where fine and coarse are one level.
        ManifestError: as `splits`.
    """
    coarse, fine = levels_of(recipe, manifest.taxonomy)
    rows = splits(manifest)
    seen = seen_classes(recipe, manifest.taxonomy, coarse, fine)
    if seen is not None:
        manifest = hide_unseen(manifest, rows, coarse, fine, seen)
    if recipe.label_fraction is not None:
        if coarse == fine:
            raise RecipeError(
                f"label_fraction = {recipe.label_fraction:g} leaves some images with a coarse label only, but "
                f"{manifest.taxonomy.levels[fine]!r} is the one level there is to learn from; name two, coarse and fine"
            )
        manifest, rows = hide_fine(
            manifest, rows, coarse, fine, recipe.label_fraction, recipe.coarse_fraction, recipe.seed
        )
    carved = recipe.validation > 0 and not len(rows.get("validation", ()))
    if carved:
        rows["train"], rows["validation"] = carve(
            manifest.targets, rows["train"], coarse, fine, recipe.validation, recipe.seed
        )
    return manifest, rows, carved


def part_labelled(recipe: Recipe, manifest: Manifest) -> Manifest:
    """The manifest that `draw_part` leaves: only the rows that are used, each with its split. Errors as there."""
    manifest, rows, carved = draw_part(recipe, manifest)
    names, codes = manifest.split_names, manifest.split_codes.copy()
    if carved:
        names = tuple(dict.fromkeys((*names, "train", "validation")))
        codes[rows["train"]], codes[rows["validation"]] = names.index("train"), names.index("validation")
    used = np.sort(np.concatenate(list(rows.values())))
    return replace(manifest, split_names=names, split_codes=codes).select(used)


def splits(manifest: Manifest) -> dict[str, Rows]:
    """Row numbers by split name; all rows are "train" where the manifest names no splits.

    Raises:
        ManifestError: some rows have a split and others not, or there are no training images.
    """
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
    return rows


def draw_labels(
    manifest: Manifest, rows: Rows, fine: int, label_fraction: float, coarse_fraction: float | None, seed: int
) -> tuple[Rows, Rows]:
    """Draw, class by class, the images that lose their fine label, and those that are not used at all.

    Every fine class is permuted once, by a key of the seed and its name. The front keeps its fine labels and the back
    its coarse ones, so the images labelled at 5 % are among those labelled at 10 %, and no image has both roles. A
    class keeps at least one fine label. Images without a fine label are not drawn from: they stay as they are.

    Args:
        rows: the rows to draw from, (n,).
        fine: number of the fine level.
        label_fraction: share of each fine class that keeps its fine label, 0 < share <= 1.
        coarse_fraction: share of each fine class that is used with its coarse label only; None is all the rest.

    Returns:
        Rows with coarse labels only, and rows left out, each ascending.
    """
    hidden, unused = [rows[:0]], [rows[:0]]
    for number, members in _groups(rows, manifest.targets[rows, fine]):
        if number < 0:
            continue
        name = manifest.taxonomy.classes[fine][number]
        drawn = members[permutation(len(members), seed, f"fine labels of {name}")]
        kept = max(1, round(label_fraction * len(drawn)))
        rest = len(drawn) - kept
        coarse = rest if coarse_fraction is None else min(rest, round(coarse_fraction * len(drawn)))
        hidden.append(drawn[len(drawn) - coarse :])
        unused.append(drawn[kept : len(drawn) - coarse])
    return np.sort(np.concatenate(hidden)), np.sort(np.concatenate(unused))


def hide_fine(
    manifest: Manifest,
    rows: Mapping[str, Rows],
    coarse: int,
    fine: int,
    label_fraction: float,
    coarse_fraction: float | None,
    seed: int,
) -> tuple[Manifest, dict[str, Rows]]:
    """The manifest with fine labels on a part of its training images, and the rows that are then used.

    The other images keep their labels down to the coarse level. What lies between the two levels is hidden with the
    fine label: else a method that takes labels of every level would learn from more than one that takes two.

    A validation split that the manifest names is treated like the training split, so that an epoch is never chosen by
    more labels than there were to learn from. Other splits keep every label. See `draw_labels`.
    """
    targets, used = manifest.targets.copy(), dict(rows)
    for name in {"train", "validation"} & used.keys():
        hidden, unused = draw_labels(manifest, used[name], fine, label_fraction, coarse_fraction, seed)
        targets[hidden, coarse + 1 :] = -1
        used[name] = np.setdiff1d(used[name], unused)
    return replace(manifest, targets=targets), used


def carve(
    targets: NDArray[np.int64], train: Rows, coarse: int, fine: int, share: float, seed: int
) -> tuple[Rows, Rows]:
    """Split `share` of the training rows off for validation, class by class; a class keeps at least one image.

    Stratified by the coarse class alone, so that no fine label has a say for a method that has none. Where some images
    have a fine label and others have not, either kind gives its share, and a fine class keeps at least one labelled
    image to learn from.

    Args:
        targets: (N, L), -1 unknown.
        train: rows to carve from.
        coarse, fine: level numbers.

    Returns:
        Training and validation rows, each ascending.
    """
    known, labels = (targets[train, fine] >= 0) & (coarse != fine), targets[train, coarse]
    mixed = bool(known.any() and not known.all())
    taken = []
    for number, members in _groups(train, 2 * labels + known if mixed else labels):
        label, kind = divmod(number, 2) if mixed else (number, 0)
        # Complete labels are drawn with the key of the class alone, whatever else a set may hold.
        drawn = members[permutation(len(members), seed, "validation", label, *((kind,) if mixed else ()))]
        free = _all_but_last_of_each(drawn, targets[drawn, fine]) if kind else drawn[:-1]
        taken.append(free[: round(share * len(drawn))])
    held = np.sort(np.concatenate(taken))
    return np.setdiff1d(train, held), held


def _groups(rows: Rows, labels: NDArray[np.int64]) -> Iterator[tuple[int, Rows]]:
    """Every label that occurs and the rows that have it, both ascending."""
    order = np.argsort(labels, kind="stable")
    found, starts = np.unique(labels[order], return_index=True)
    yield from zip(found.tolist(), np.split(rows[order], starts[1:]), strict=True)


def _all_but_last_of_each(members: Rows, labels: NDArray[np.int64]) -> Rows:
    """The members in their order, without the last one of each label."""
    _, from_end = np.unique(labels[::-1], return_index=True)
    return np.delete(members, len(members) - 1 - from_end)
