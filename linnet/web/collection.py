"""The collection by its taxonomy: levels, classes with their numbers of images, and the images of a class, by pages."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from linnet.taxonomy import Taxonomy
from linnet.web.problems import not_found

__all__ = ["Class", "Collection", "spread"]

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Class:
    """A class of a level.

    Attributes:
        level, number, name: as in the taxonomy.
        parent: its number at the level above; None at the coarsest.
        children: how many classes the next level has under it.
        images: how many images have its label.
    """

    level: int
    number: int
    name: str
    parent: int | None
    children: int
    images: int


def spread(rows: Rows, count: int) -> list[int]:
    """Up to `count` of the rows, evenly from all of them, in order."""
    if len(rows) <= count:
        return [int(row) for row in rows]
    return [int(rows[place]) for place in np.linspace(0, len(rows) - 1, count).astype(np.int64)]


@dataclass(frozen=True, eq=False)
class Collection:
    """N images under a taxonomy of L levels.

    Attributes:
        targets: class numbers, int64 (N, L), -1 where unknown; (0, L) where only classes are known.
    """

    taxonomy: Taxonomy
    targets: NDArray[np.int64]

    def __len__(self) -> int:
        """N."""
        return len(self.targets)

    @cached_property
    def _sorted(self) -> list[tuple[Rows, Rows]]:
        """For each level its rows by class, and where each class begins, (classes + 1,); unknown ones come first."""
        found = []
        for level in range(len(self.taxonomy.levels)):
            column = np.asarray(self.targets[:, level])
            order = np.argsort(column, kind="stable").astype(np.int64)
            starts = np.searchsorted(column[order], np.arange(self.taxonomy.count(level) + 1))
            found.append((order, starts.astype(np.int64)))
        return found

    def labelled(self, level: int) -> int:
        """How many images have a label of the level."""
        order, starts = self._sorted[level]
        return len(order) - int(starts[0])

    def level(self, level: int | str) -> int:
        """A level's number, by number or name.

        Raises:
            TaxonomyError: no such level.
        """
        return self.taxonomy.level(int(level) if isinstance(level, str) and level.isdecimal() else level)

    def get(self, level: int, number: int) -> Class:
        """A class.

        Raises:
            Problem: 404, no such class.
        """
        if not 0 <= number < self.taxonomy.count(level):
            name = self.taxonomy.levels[level]
            raise not_found(f"Level {name!r} has classes 0 to {self.taxonomy.count(level) - 1}, not {number}.")
        _, starts = self._sorted[level]
        parent = self.taxonomy.parents[level][number] if level else None
        children = len(self.children(level, number))
        name = self.taxonomy.classes[level][number]
        return Class(level, number, name, parent, children, int(starts[number + 1] - starts[number]))

    def rows(self, level: int, number: int) -> Rows:
        """The rows of a class's images, ascending."""
        order, starts = self._sorted[level]
        return order[starts[number] : starts[number + 1]]

    @cached_property
    def _children(self) -> list[dict[int, list[int]]]:
        found: list[dict[int, list[int]]] = [{} for _ in self.taxonomy.levels]
        for level, parents in enumerate(self.taxonomy.parents[1:]):
            for number, parent in enumerate(parents):
                found[level].setdefault(parent, []).append(number)
        return found

    def children(self, level: int, number: int) -> list[int]:
        """The numbers of the classes of the next level under one."""
        return self._children[level].get(number, [])

    def find(self, level: int, text: str = "", under: int | None = None) -> list[int]:
        """The numbers of a level's classes by name: those whose name has `text` in it, under class `under` only."""
        wanted = text.replace("_", " ").strip().casefold()
        names = self.taxonomy.classes[level]
        among = range(len(names)) if under is None or not level else self.children(level - 1, under)
        found = [number for number in among if wanted in names[number].replace("_", " ").casefold()]
        return sorted(found, key=lambda number: names[number].casefold())

    def path(self, level: int, number: int) -> list[Class]:
        """A class and its ancestors, coarsest first."""
        found = [self.get(level, number)]
        while (parent := found[0].parent) is not None:
            found.insert(0, self.get(found[0].level - 1, parent))
        return found

    def labels(self, row: int) -> list[Class]:
        """The labels of an image, coarsest first.

        Raises:
            Problem: 404, no such image.
        """
        if not 0 <= row < len(self):
            raise not_found(f"The collection has images 0 to {len(self) - 1}, not {row}.")
        return [self.get(level, int(number)) for level, number in enumerate(self.targets[row]) if number >= 0]
