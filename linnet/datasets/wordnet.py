"""WordNet's hierarchy in ImageNet's own files, and the two ways Linnet makes levels of it.

`wordnet.is_a.txt` has a line `parent child` for every is-a; a synset may have several parents. `words.txt` has a line
`synset TAB words`. Levels need one parent for every class, hence the rules here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from linnet.datasets.lists import read_text
from linnet.errors import DataError
from linnet.hierarchy import first_few

__all__ = ["Parents", "ancestors", "one_path", "parents_of_leaves", "read_is_a", "read_words"]

Parents = Mapping[str, Sequence[str]]
"""The parents of each synset, sorted."""


def read_is_a(path: Path) -> Parents:
    """Read wordnet.is_a.txt.

    Raises:
        DataError: it cannot be read, or a line is not two synsets; names the lines.
    """
    found: dict[str, set[str]] = {}
    wrong: list[str] = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        pair = line.split()
        if len(pair) == 2:
            found.setdefault(pair[1], set()).add(pair[0])
        elif pair:
            wrong.append(f"line {number}: {line!r}")
    if wrong or not found:
        raise DataError(f"{path}: not `parent child`, one pair a line:\n{first_few(wrong or ['it is empty'])}")
    return {child: sorted(parents) for child, parents in found.items()}


def read_words(path: Path) -> dict[str, str]:
    """Read words.txt: the first word of every synset, such as 'German shepherd'.

    Raises:
        DataError: it cannot be read, or a line has no tab; names the lines.
    """
    found: dict[str, str] = {}
    wrong: list[str] = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        synset, tab, words = line.partition("\t")
        if tab and words.strip():
            found[synset.strip()] = words.split(",")[0].strip()
        elif line.strip():
            wrong.append(f"line {number}: {line!r}")
    if wrong:
        raise DataError(f"{path}: not a synset, a tab and its words, one a line:\n{first_few(wrong)}")
    return found


def ancestors(synsets: Iterable[str], parents: Parents) -> set[str]:
    """All synsets above the given ones."""
    found: set[str] = set()
    waiting = list(synsets)
    while waiting:
        for parent in parents.get(waiting.pop(), ()):
            if parent not in found:
                found.add(parent)
                waiting.append(parent)
    return found


def parents_of_leaves(synsets: Collection[str], parents: Parents) -> dict[str, str]:
    """Fine to coarse synset, by paper 002's rule (section V-C) for its subset of ILSVRC-2010.

    WordNet is trimmed to the given synsets and what is above them. A synset is a coarse class when it has two
    children there or more, when all of them are given synsets that have nothing below them, and when it is the only
    parent of each. Every other class's subtree overlaps another's and is left out. From the 1,000 synsets of
    ILSVRC-2010 this makes the paper's 143 coarse and 387 fine classes with their 487,809 training images.

    Returns:
        The fine synsets that are kept, in the order given, each with its coarse synset.
    """
    there = set(synsets) | ancestors(synsets, parents)
    children: dict[str, set[str]] = {}
    for synset in there:
        for parent in parents.get(synset, ()):
            children.setdefault(parent, set()).add(synset)
    given = set(synsets)

    def alone(child: str) -> bool:
        return child in given and child not in children and len(parents[child]) == 1

    kept = {parent for parent, below in children.items() if len(below) > 1 and all(map(alone, below))}
    return {synset: above[0] for synset in synsets if (above := parents.get(synset, ())) and above[0] in kept}


def one_path(synsets: Iterable[str], parents: Parents) -> dict[str, tuple[str, ...]]:
    """One path from a root down to each synset, itself the last, so that all paths together are a tree.

    Of several parents the one nearest to a root counts, of equally near ones the first by name.

    Raises:
        DataError: a synset stands on a cycle that no root is above; names it.
    """
    wanted = list(synsets)
    depth = _depths(set(wanted) | ancestors(wanted, parents), parents)
    lost = [synset for synset in wanted if synset not in depth]
    if lost:
        raise DataError(f"synsets without a way to a root of the hierarchy:\n{first_few(lost)}")
    found: dict[str, tuple[str, ...]] = {}
    for synset in wanted:
        path = [synset]
        while above := [parent for parent in parents.get(path[-1], ()) if parent in depth]:
            path.append(min(above, key=lambda parent: (depth[parent], parent)))
        found[synset] = tuple(reversed(path))
    return found


def _depths(synsets: Collection[str], parents: Parents) -> dict[str, int]:
    """Steps from the nearest root, by synset."""
    children: dict[str, list[str]] = {}
    for synset in synsets:
        for parent in parents.get(synset, ()):
            children.setdefault(parent, []).append(synset)
    level = [synset for synset in synsets if not parents.get(synset)]
    depth = dict.fromkeys(level, 0)
    while level:
        below = [child for synset in level for child in children.get(synset, ()) if child not in depth]
        depth |= dict.fromkeys(below, depth[level[0]] + 1)
        level = list(dict.fromkeys(below))
    return depth
