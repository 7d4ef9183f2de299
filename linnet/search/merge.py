"""Two taxonomies of the same levels as one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from linnet.errors import ManifestError, TaxonomyError
from linnet.taxonomy import Taxonomy

__all__ = ["merge_taxonomies", "renumber"]

Integers = NDArray[np.int64]


def merge_taxonomies(old: Taxonomy, new: Taxonomy, source: str) -> tuple[Taxonomy, list[Integers]]:
    """The classes of both, the old ones by their numbers; and for each level the new taxonomy's numbers in it.

    A taxonomy without any class goes with every other.

    Raises:
        ManifestError: other levels.
        TaxonomyError: a class that lies under another parent in the new one; names them.
    """
    if not any(new.classes):
        return old, [np.empty(0, np.int64) for _ in old.levels]
    if not any(old.classes):
        return new, [np.arange(len(names)) for names in new.classes]
    if old.levels != new.levels:
        raise ManifestError(
            f"{source}: its levels are {', '.join(new.levels)}, and the index has {', '.join(old.levels)}; rename its "
            "columns, or name the levels: levels=A,B"
        )
    classes: list[tuple[str, ...]] = []
    parents: list[tuple[int, ...]] = []
    numbers: list[Integers] = []
    for level, name in enumerate(old.levels):
        there = {each: number for number, each in enumerate(old.classes[level])}
        above = list(old.parents[level])
        for each, parent in zip(new.classes[level], new.parents[level] or [0] * len(new.classes[level]), strict=True):
            meant = int(numbers[level - 1][parent]) if level else 0
            if each not in there:
                there[each] = len(there)
                above += [meant] if level else []
            elif level and above[there[each]] != meant:
                first, second = classes[level - 1][above[there[each]]], classes[level - 1][meant]
                raise TaxonomyError(
                    f"{source}: {name} {each!r} lies under {second!r}, in the index under {first!r}; mend one of them"
                )
        classes.append(tuple(there))
        parents.append(tuple(above))
        numbers.append(np.asarray([there[each] for each in new.classes[level]], np.int64))
    return Taxonomy(old.levels, tuple(classes), tuple(parents)), numbers


def renumber(targets: Integers, numbers: Sequence[Integers]) -> Integers:
    """Targets (n, L) by other numbers; -1 stays. Without classes, all are -1."""
    columns = []
    for level, table in enumerate(numbers):
        column = targets[:, level] if level < targets.shape[1] else np.full(len(targets), -1)
        columns.append(np.append(table, -1)[column])
    return np.stack(columns, axis=1).astype(np.int64)
