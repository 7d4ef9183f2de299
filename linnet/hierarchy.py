"""Which class lies under which, worked out from rows of labels; Taxonomy and Manifest are both built on this.

A row is one tuple of labels, coarsest first, '' where blank. Loops here run over distinct label tuples, never
images.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from linnet.errors import TaxonomyError

__all__ = ["Hierarchy", "default_levels", "first_few", "infer", "is_one_line", "paths_from_pairs", "suffix"]

Labels = tuple[str, ...]
Where = Callable[[int], str]


@dataclass(frozen=True)
class Hierarchy:
    """Class names per level in sorted order, each class's parent index, and the rows' labels as the classes
    are named.

    `labels` differ from the given ones only under `qualify` and where a level was skipped.
    """

    classes: tuple[tuple[str, ...], ...]
    parents: tuple[tuple[int, ...], ...]
    labels: list[Labels]


def default_levels(depth: int) -> tuple[str, ...]:
    """Names for unnamed levels: ('class',), ('coarse', 'fine'), or ('level1', 'level2', ...)."""
    named: dict[int, tuple[str, ...]] = {1: ("class",), 2: ("coarse", "fine")}
    return named.get(depth, tuple(f"level{number}" for number in range(1, depth + 1)))


def first_few(problems: Sequence[str], shown: int = 5) -> str:
    """The first `shown` problems, one a line, and how many more there are."""
    lines = [f"  {problem}" for problem in problems[:shown]]
    if len(problems) > shown:
        lines.append(f"  and {len(problems) - shown} more")
    return "\n".join(lines)


def is_one_line(name: str) -> bool:
    """Whether a name survives every file format: no control characters, no broken Unicode."""
    return not any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name)


def suffix(name: str) -> str:
    """The last word of a class name: 'Sooty_Albatross' and '002.Sooty Albatross' -> 'Albatross'; '' when it
    has none.

    Words are split at '_', '-' and spaces; a numeric prefix such as CUB's '001.' is no part of the name.
    """
    bare = re.sub(r"^\s*\d+\.\s*(?=\S)", "", name)
    words = [word for word in re.split(r"[_\s-]+", bare) if word]
    return words[-1] if words else ""


@dataclass
class _Known:
    """What the rows say of one class: the first row that has it, and for coarser levels (ancestor, row)."""

    row: int
    above: dict[int, tuple[str, int]] = field(default_factory=dict)


@dataclass
class _Problems:
    two_parents: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def check(self, columns: Sequence[str] = ()) -> None:
        if self.two_parents:
            raise TaxonomyError(
                f"a class can have one parent only:\n{first_few(self.two_parents)}\n"
                "Mend the wrong rows; or, when these are different classes of one name, rename them or set "
                "qualify=True, which puts the parent before every name. Levels must go from coarsest to "
                "finest." + (_choose(columns) if len(self.two_parents) > 1 and len(columns) > 1 else "")
            )
        if self.skipped:
            raise TaxonomyError(
                "a level is left blank above a finer label, and no other row fills "
                f"it:\n{first_few(self.skipped)}\n"
                "Fill in the blank once for each of these classes; or set allow_skips=True, which gives the "
                "missing "
                "class the name of the finer one."
            )


def _choose(columns: Sequence[str]) -> str:
    return (
        f"\nThe columns read as levels are {', '.join(columns)}; when one of them is no level, choose with "
        f"levels={columns[0]} (several: levels={','.join(columns[:2])})."
    )


def infer(
    levels: Sequence[str],
    labels: Sequence[Labels],
    where: Where,
    *,
    allow_skips: bool = False,
    qualify: bool = False,
    columns: Sequence[str] = (),
) -> Hierarchy:
    """Work out the hierarchy that the rows of labels imply.

    A blank is filled from any other row that tells it: (A, '', x) with ('', M, x) puts x under M and M under
        A.

    Args:
        levels: level names, coarsest first, (L,).
        labels: distinct rows, each with L labels, '' where blank.
        where: the place of a row for messages, such as 'photos.csv, line 17'.
        allow_skips: a missing class between (or above) known ones takes the name of the finer class.
        qualify: name every class below the coarsest level 'parent/name'.
        columns: the columns of a table that the levels were read from, for the message to choose from.

    Raises:
        TaxonomyError: a class with two parents, a skipped level, names that only look alike; names the rows.
    """
    rows = list(labels)
    if qualify:
        rows = _qualified(levels, rows, where, allow_skips)
    known, problems = _collect(levels, rows, where)
    for level in range(len(levels) - 1, 0, -1):
        for name in sorted(known[level]):
            facts = known[level][name]
            if level - 1 not in facts.above:
                if not allow_skips:
                    problems.skipped.append(_skip(levels, level, name, where(facts.row)))
                    continue
                facts.above[level - 1] = (name, facts.row)
            parent, row = facts.above[level - 1]
            upper = known[level - 1].setdefault(parent, _Known(row))
            for coarser, (ancestor, claimed) in facts.above.items():
                if coarser < level - 1:
                    _claim(problems, levels, level - 1, parent, upper, coarser, ancestor, claimed, where)
    problems.check(columns)
    classes = tuple(tuple(sorted(names)) for names in known)
    for level, names in enumerate(classes):
        _check_spelling(levels[level], names, {name: where(facts.row) for name, facts in known[level].items()})
    return Hierarchy(classes, _parents(classes, known), rows)


def _collect(levels: Sequence[str], rows: Iterable[Labels], where: Where) -> tuple[list[dict[str, _Known]], _Problems]:
    """Each class with what its own rows say of the nearest coarser label."""
    known: list[dict[str, _Known]] = [{} for _ in levels]
    problems = _Problems()
    for row, labels in enumerate(rows):
        coarser = -1
        for level, name in enumerate(labels):
            if not name:
                continue
            facts = known[level].setdefault(name, _Known(row))
            if coarser >= 0:
                _claim(problems, levels, level, name, facts, coarser, labels[coarser], row, where)
            coarser = level
    return known, problems


def _claim(
    problems: _Problems,
    levels: Sequence[str],
    level: int,
    name: str,
    facts: _Known,
    coarser: int,
    ancestor: str,
    row: int,
    where: Where,
) -> None:
    told, first = facts.above.setdefault(coarser, (ancestor, row))
    if told != ancestor:
        (early, one), (late, other) = sorted(((first, told), (row, ancestor)))
        problems.two_parents.append(
            f"{levels[level]} {name!r} is under {levels[coarser]} {one!r} ({where(early)}) "
            f"and under {other!r} ({where(late)})"
        )


def _skip(levels: Sequence[str], level: int, name: str, place: str) -> str:
    return f"{levels[level]} {name!r} has no {levels[level - 1]} ({place})"


def _parents(
    classes: tuple[tuple[str, ...], ...], known: Sequence[Mapping[str, _Known]]
) -> tuple[tuple[int, ...], ...]:
    parents: list[tuple[int, ...]] = []
    for level, names in enumerate(classes):
        if level == 0:
            parents.append(())
            continue
        at = {name: number for number, name in enumerate(classes[level - 1])}
        parents.append(tuple(at[known[level][name].above[level - 1][0]] for name in names))
    return tuple(parents)


def _check_spelling(level: str, names: Sequence[str], place: Mapping[str, str]) -> None:
    """Names that look alike are one class typed in two ways; letter case may tell apart ('a', 'A')."""
    broken = [f"{level} {name!r} ({place[name]})" for name in names if not is_one_line(name)]
    if broken:
        raise TaxonomyError(
            f"class names with line breaks or other control characters:\n{first_few(broken)}\n"
            "A name is one line of text; is a quote left open there?"
        )
    seen: dict[str, str] = {}
    problems: list[str] = []
    for name in names:
        plain = " ".join(unicodedata.normalize("NFC", name).split())
        other = seen.setdefault(plain, name)
        if other != name:
            problems.append(f"{level} {other!a} ({place[other]}) and {name!a} ({place[name]})")
    if problems:
        raise TaxonomyError(
            f"class names that look the same but are spelt with other characters:\n{first_few(problems)}\n"
            "Spell each class in one way (these differ in Unicode form or in the spaces between words)."
        )


def _qualified(levels: Sequence[str], rows: Sequence[Labels], where: Where, allow_skips: bool) -> list[Labels]:
    """Rows whose every label is the path from the coarsest class down to it, joined by '/'."""
    paths: dict[tuple[int, str], set[Labels]] = {}
    for row in rows:
        for level, name in enumerate(row):
            if not name:
                break
            paths.setdefault((level, name), set()).add(row[: level + 1])
    problems: list[str] = []
    skipped = _Problems()
    result: list[Labels] = []
    for number, row in enumerate(rows):
        depth = max((level for level, name in enumerate(row) if name), default=-1)
        path = row[: depth + 1]
        if "" in path:
            told = [
                p for p in paths.get((depth, row[depth]), ()) if all(a in ("", b) for a, b in zip(path, p, strict=True))
            ]
            if len(told) > 1:
                found = ", ".join(repr("/".join(p)) for p in sorted(told))
                problems.append(f"{levels[depth]} {row[depth]!r} may be {found} ({where(number)})")
            elif told:
                path = told[0]
            elif allow_skips:
                path = _filled(path)
            else:
                gap = max(level for level, name in enumerate(path) if not name) + 1
                skipped.skipped.append(_skip(levels, gap, path[gap], where(number)))
        names = tuple("/".join(path[: level + 1]) for level in range(len(path)))
        result.append(names + ("",) * (len(levels) - len(names)))
    if problems:
        raise TaxonomyError(
            f"a label alone does not tell its class:\n{first_few(problems)}\nFill in the coarser labels of these rows."
        )
    skipped.check()
    return result


def _filled(path: Labels) -> Labels:
    """Blanks take the name of the next finer label."""
    names = list(path)
    for level in range(len(names) - 2, -1, -1):
        names[level] = names[level] or names[level + 1]
    return tuple(names)


def paths_from_pairs(pairs: Sequence[tuple[str, str]], where: Where) -> list[tuple[Labels, int]]:
    """Turn (child, parent) rows into each class's path from its root, with the row that told of it.

    A blank parent makes the child a root; a name that is never a child is a root too. A row told twice is
    harmless.

    Raises:
        TaxonomyError: a blank child, a class with two parents, a cycle; names the rows.
    """
    above: dict[str, tuple[str, int]] = {}
    first: dict[str, int] = {}
    problems = _Problems()
    for row, (child, parent) in enumerate(pairs):
        if not child:
            raise TaxonomyError(f"{where(row)}: the child is blank; every row needs a child, and may lack a parent")
        told, before = above.setdefault(child, (parent, row))
        if told != parent:
            said = [f"under {name!r}" if name else "without a parent" for name in (told, parent)]
            problems.two_parents.append(f"{child!r} is {said[0]} ({where(before)}) and {said[1]} ({where(row)})")
        for name in (child, parent):
            if name:
                first.setdefault(name, row)
    problems.check()
    paths: dict[str, Labels] = {}
    for name in first:
        chain: dict[str, None] = {}
        up = name
        while up and up not in paths:
            if up in chain:
                _refuse_cycle(list(chain), up, above, where)
            chain[up] = None
            up = above.get(up, ("", 0))[0]
        path = paths[up] if up else ()
        for step in reversed(chain):
            path = (*path, step)
            paths[step] = path
    return [(paths[name], row) for name, row in first.items()]


def _refuse_cycle(chain: list[str], name: str, above: Mapping[str, tuple[str, int]], where: Where) -> None:
    ring = chain[chain.index(name) :]
    steps = [f"{child!r} is under {above[child][0]!r} ({where(above[child][1])})" for child in ring]
    raise TaxonomyError(
        f"the classes go round in a circle:\n{first_few(steps, 10)}\nRemove or mend one of these rows. A "
        "class that has "
        "the same name as its parent needs a table with one column a level instead of child,parent."
    )
