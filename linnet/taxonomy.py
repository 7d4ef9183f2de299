"""Taxonomy: named levels from coarsest to finest, the classes of each, and every class's parent."""

from __future__ import annotations

import hashlib
import json
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linnet.errors import TaxonomyError, nearest
from linnet.hierarchy import default_levels, first_few, infer, is_one_line, paths_from_pairs, suffix

__all__ = ["Level", "Taxonomy"]

Level = str | int
"""A level by its name, or by its number: 0 is the coarsest, -1 the finest."""


@dataclass(frozen=True)
class Taxonomy:
    """The class hierarchy. Names decide which class is meant; the order of classes only numbers them.

    A class name is unique in its level, and may come again at another level. A class above the finest level
    may have no children (branches of unequal depth); every class below the coarsest level has a parent in the
    level above.

    Attributes:
        levels: level names, coarsest first, (L,).
        classes: class names of each level, in the order that numbers them.
        parents: `parents[l][i]` is the index, at level l - 1, of the parent of class i of level l;
            `parents[0]` is ().

    Raises:
        TaxonomyError: the parts do not make a hierarchy.
    """

    levels: tuple[str, ...]
    classes: tuple[tuple[str, ...], ...]
    parents: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        if not len(self.levels) == len(self.classes) == len(self.parents) >= 1:
            raise TaxonomyError(
                f"{len(self.levels)} levels, {len(self.classes)} lists of classes and {len(self.parents)} "
                "lists of "
                "parents: there must be one of each per level, and at least one level"
            )
        _check_names("level", self.levels)
        for number, (level, names) in enumerate(zip(self.levels, self.classes, strict=True)):
            _check_names(f"{level} class", names)
            given = self.parents[number]
            expected, above = (len(names), len(self.classes[number - 1])) if number else (0, 0)
            if len(given) != expected:
                raise TaxonomyError(f"level {level!r} has {len(names)} classes and {len(given)} parents")
            wrong = [f"{names[i]!r} -> {p}" for i, p in enumerate(given) if not 0 <= p < above]
            if wrong:
                raise TaxonomyError(
                    f"level {level!r}: parents must be numbers from 0 to {above - 1}:\n{first_few(wrong)}"
                )

    # Levels and classes

    def level(self, level: Level) -> int:
        """The number of a level given by name or number (negative numbers count from the finest).

        Raises:
            TaxonomyError: there is no such level; lists the levels.
        """
        if isinstance(level, str):
            if level not in self.levels:
                raise TaxonomyError(
                    f"no level {level!r}{nearest(level, self.levels)}; the levels are {', '.join(self.levels)}"
                )
            return self.levels.index(level)
        number = operator.index(level)
        if not -len(self.levels) <= number < len(self.levels):
            raise TaxonomyError(f"no level {number}; there are {len(self.levels)}: {', '.join(self.levels)}")
        return number % len(self.levels)

    def count(self, level: Level) -> int:
        """Number of classes at a level."""
        return len(self.classes[self.level(level)])

    @cached_property
    def _numbers(self) -> tuple[dict[str, int], ...]:
        return tuple({name: number for number, name in enumerate(names)} for names in self.classes)

    def index(self, level: Level, name: str) -> int:
        """The number of the class called `name` at a level.

        Raises:
            TaxonomyError: the level has no such class; names the nearest.
        """
        at = self.level(level)
        number = self._numbers[at].get(name)
        if number is None:
            raise TaxonomyError(
                f"no class {name!r} at level {self.levels[at]!r}{nearest(name, self.classes[at])}; "
                f"it has {len(self.classes[at])} classes"
            )
        return number

    @cached_property
    def leaves(self) -> tuple[tuple[int, int], ...]:
        """The classes without children, as (level, class) numbers, coarsest level first."""
        found: list[tuple[int, int]] = []
        for level, names in enumerate(self.classes):
            above = set(self.parents[level + 1]) if level + 1 < len(self.levels) else set()
            found += [(level, number) for number in range(len(names)) if number not in above]
        return tuple(found)

    # Relations

    def ancestor(self, fine: Level = -1, coarse: Level = 0) -> NDArray[np.int64]:
        """For each class at level `fine`, the number of its ancestor at level `coarse`: int64 (F,).

        Raises:
            TaxonomyError: `coarse` is finer than `fine`.
        """
        low, high = self.level(fine), self.level(coarse)
        if high > low:
            raise TaxonomyError(
                f"level {self.levels[high]!r} is finer than {self.levels[low]!r}; an ancestor is at a coarser level"
            )
        result = np.arange(self.count(low), dtype=np.int64)
        for level in range(low, high, -1):
            result = np.asarray(self.parents[level], dtype=np.int64)[result]
        return result

    def membership(self, coarse: Level = 0, fine: Level = -1) -> NDArray[np.bool_]:
        """Boolean (C, F): fine class f lies under coarse class c (T of paper 001)."""
        classes = np.arange(self.count(coarse), dtype=np.int64)
        return np.equal(classes[:, None], self.ancestor(fine, coarse)[None, :])

    def candidates(self, c: int, coarse: Level = 0, fine: Level = -1) -> NDArray[np.int64]:
        """The numbers of the classes at level `fine` under class `c` of level `coarse`, ascending, int64.

        Raises:
            TaxonomyError: the level has no class number `c`.
        """
        if not 0 <= c < self.count(coarse):
            name = self.levels[self.level(coarse)]
            raise TaxonomyError(f"no class number {c} at level {name!r}, which has {self.count(coarse)}")
        return np.flatnonzero(self.ancestor(fine, coarse) == c).astype(np.int64, copy=False)

    def multi_hot(self, level: Level = -1, coarse: Level | None = None) -> NDArray[np.bool_]:
        """Boolean (F, F): row y marks every class at `level` with y's ancestor at level `coarse`, y itself
        among them.

        This is the target m of paper 003. `coarse` is the next coarser level unless given; for the coarsest
        level itself, all True (all of its classes share the root).
        """
        at = self.level(level)
        if at == 0 and coarse is None:
            return np.ones((self.count(0), self.count(0)), dtype=np.bool_)
        above = self.ancestor(at, at - 1 if coarse is None else coarse)
        return np.asarray(above[:, None] == above[None, :], dtype=np.bool_)

    def distance(self, level: Level = -1) -> NDArray[np.int16]:
        """Height of the lowest common ancestor of two classes at a level: int16 (F, F).

        0 for a class and itself, 1 for two children of one parent, and so on; `level` + 1 when only the root,
        which has no class, is common.
        """
        at = self.level(level)
        result = np.full((self.count(at), self.count(at)), at + 1, dtype=np.int16)
        for higher in range(at + 1):
            above = self.ancestor(at, higher)
            result[above[:, None] == above[None, :]] = at - higher
        return result

    def place(self, labels: Sequence[Sequence[str]], where: Callable[[int], str]) -> NDArray[np.int64]:
        """Class numbers for rows of labels (one for each level, '' where blank): int64 (n, L), -1 where
        unknown.

        A label implies its ancestors. `where` names a row in messages.

        Raises:
            TaxonomyError: a label that is no class, or that contradicts the row's finer label; names the
                rows.
        """
        result = np.full((len(labels), len(self.levels)), -1, dtype=np.int64)
        problems: list[str] = []
        for row, names in enumerate(labels):
            number, finest = -1, ""
            for level in range(len(self.levels) - 1, -1, -1):
                number = self.parents[level + 1][number] if number >= 0 else -1
                name = names[level]
                if name and number < 0:
                    number = self._numbers[level].get(name, -1)
                    finest = f"{self.levels[level]} {name!r}"
                    if number < 0:
                        close = nearest(name, self.classes[level]) if len(problems) < 5 else ""  # slow
                        problems.append(f"{where(row)}: no {self.levels[level]} class {name!r}{close}")
                        break
                elif name and self.classes[level][number] != name:
                    implied = self.classes[level][number]
                    problems.append(f"{where(row)}: {self.levels[level]} {name!r}, but {finest} is under {implied!r}")
                    break
                result[row, level] = number
        if problems:
            raise TaxonomyError(
                f"labels that the taxonomy does not allow:\n{first_few(problems)}\nMend the labels or the taxonomy."
            )
        return result

    # Identity and storage

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hexadecimal) of the canonical JSON: the same in whatever order the classes are listed."""
        canonical = []
        for level, names in enumerate(self.classes):
            above = [self.classes[level - 1][p] for p in self.parents[level]] if level else [""] * len(names)
            canonical.append(
                [
                    self.levels[level],
                    sorted([name, parent] for name, parent in zip(names, above, strict=True)),
                ]
            )
        text = json.dumps(canonical, ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """The taxonomy as JSON content, class order kept."""
        return {
            "levels": list(self.levels),
            "classes": [list(names) for names in self.classes],
            "parents": [list(numbers) for numbers in self.parents],
        }

    @classmethod
    def from_json(cls, content: Any, source: str = "taxonomy") -> Taxonomy:
        """The taxonomy that `to_json` gave.

        Raises:
            TaxonomyError: the content is not a taxonomy; names `source`.
        """
        try:
            return cls(
                tuple(content["levels"]),
                tuple(tuple(names) for names in content["classes"]),
                tuple(tuple(operator.index(number) for number in numbers) for numbers in content["parents"]),
            )
        except (AttributeError, KeyError, TypeError) as error:
            raise TaxonomyError(
                f"{source}: not a taxonomy ({error!r}); it needs the keys levels, classes and parents"
            ) from None

    # Sources

    @classmethod
    def from_columns(
        cls,
        levels: Sequence[str],
        rows: Iterable[Sequence[str | None]],
        *,
        source: str = "rows",
        allow_skips: bool = False,
        qualify: bool = False,
    ) -> Taxonomy:
        """The taxonomy that rows of labels imply, classes sorted by name; blank labels are '' or None.

        A blank is filled from any other row that tells it. `allow_skips` names a class that no row tells
        after the finer one; `qualify` puts the parent before every name, so that one name may stand in
        several branches.

        Raises:
            TaxonomyError: a class with two parents, a skipped level, a row of another length; names the rows.
        """
        names = tuple(levels)
        labels: dict[tuple[str, ...], int] = {}
        for number, row in enumerate(rows, start=1):
            if len(row) != len(names):
                raise TaxonomyError(f"{source}, row {number}: {len(row)} labels for {len(names)} levels")
            labels.setdefault(tuple((label or "").strip() for label in row), number)
        at = list(labels.values())
        found = infer(names, list(labels), lambda i: f"{source}, row {at[i]}", allow_skips=allow_skips, qualify=qualify)
        return cls(names, found.classes, found.parents)

    @classmethod
    def from_table(
        cls, source: Path | str | Iterable[tuple[str, str]], *, levels: Sequence[str] | None = None
    ) -> Taxonomy:
        """The taxonomy of a `child,parent` table: a CSV, TSV, Parquet or JSONL file, or (child, parent)
        pairs.

        A class's level is its depth below its root; a blank parent makes a root. Level names are
        `default_levels` unless given. A class cannot carry its parent's name here; use `from_columns` for
        that.

        Raises:
            TaxonomyError: a class with two parents, a cycle, more or fewer levels than named; names the rows.
            ManifestError: the file cannot be read.
        """
        if isinstance(source, (str, Path)):
            from linnet.tables import read_columns

            table = read_columns(source, ("child", "parent"))
            texts = [table.texts(name) for name in ("child", "parent")]
            pairs, where = list(zip(*texts, strict=True)), table.where
        else:
            pairs = [((child or "").strip(), (parent or "").strip()) for child, parent in source]
            where = _row
        paths = paths_from_pairs(pairs, where)
        depth = max((len(path) for path, _ in paths), default=0)
        names = tuple(levels) if levels is not None else default_levels(depth)
        if len(names) != depth or depth == 0:
            raise TaxonomyError(f"the child,parent table is {depth} levels deep, and {len(names)} levels are named")
        labels = [path + ("",) * (depth - len(path)) for path, _ in paths]
        found = infer(names, labels, lambda i: where(paths[i][1]))
        return cls(names, found.classes, found.parents)

    @classmethod
    def from_suffix(
        cls,
        names: Iterable[str],
        *,
        levels: tuple[str, str] = ("coarse", "fine"),
        exceptions: Mapping[str, str] | None = None,
    ) -> Taxonomy:
        """Two levels from class names alone: 'Sooty_Albatross' lies under 'Albatross', its last word.

        Fine names stay as given; `exceptions` maps fine names to coarse ones where the rule is wrong.

        Raises:
            TaxonomyError: a name given twice, without a word, or an exception for a name that is not there.
        """
        fine = [name.strip() for name in names]
        told = dict(exceptions or {})
        first: dict[str, int] = {}
        for number, name in enumerate(fine, start=1):
            if first.setdefault(name, number) != number:
                raise TaxonomyError(f"class {name!r} is given twice, as name {first[name]} and {number}; remove one")
            if not told.get(name, suffix(name)):
                raise TaxonomyError(f"class {name!r} (name {number}) has no word to take the coarse class from")
        stray = [name for name in told if name not in first]
        if stray:
            raise TaxonomyError(f"an exception for {stray[0]!r}, which is no class{nearest(stray[0], fine)}")
        return cls.from_columns(levels, [(told.get(name, suffix(name)), name) for name in fine], source="names")

    @classmethod
    def from_folders(cls, root: Path | str, *, levels: Sequence[str] | None = None, qualify: bool = False) -> Taxonomy:
        """The taxonomy of nested image folders, `root/[split/]coarse/fine/image.jpg`, any depth.

        Raises:
            TaxonomyError: one class name in two branches, and `qualify` is not set.
            ManifestError: no images, or another depth than `levels` names.
        """
        from linnet.folders import scan_folder

        found = scan_folder(root, levels)
        rows = dict.fromkeys(found.labels)
        return cls.from_columns(found.levels, list(rows), source=str(root), qualify=qualify)


def _row(row: int) -> str:
    return f"row {row + 1}"


def _check_names(kind: str, names: Sequence[str]) -> None:
    """Names must survive every file format and tell classes apart."""
    seen: set[str] = set()
    for name in names:
        if not name or name != name.strip():
            raise TaxonomyError(f"{kind} {name!r}: a name must be text, not blank, without spaces at its ends")
        if not is_one_line(name):
            raise TaxonomyError(f"{kind} {name!r}: a name cannot hold control characters or broken Unicode")
        if name in seen:
            raise TaxonomyError(f"{kind} {name!r} is there twice; names decide, so each must be there once")
        seen.add(name)
