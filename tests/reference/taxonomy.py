"""Taxonomy operations word by word, by walking parents one class at a time; slow on purpose."""

from __future__ import annotations

from linnet.taxonomy import Taxonomy


def ancestor(tree: Taxonomy, level: int, number: int, coarse: int) -> int:
    """Walk up from one class to a coarser level."""
    while level > coarse:
        number = tree.parents[level][number]
        level -= 1
    return number


def children(tree: Taxonomy, level: int, number: int) -> list[int]:
    """The classes of the next level whose parent this class is."""
    if level + 1 == len(tree.levels):
        return []
    return [child for child, parent in enumerate(tree.parents[level + 1]) if parent == number]


def descendants(tree: Taxonomy, level: int, number: int, fine: int) -> list[int]:
    """Walk down from one class to a finer level."""
    if level == fine:
        return [number]
    found: list[int] = []
    for child in children(tree, level, number):
        found += descendants(tree, level + 1, child, fine)
    return sorted(found)


def distance(tree: Taxonomy, level: int, a: int, b: int) -> int:
    """Steps that both classes walk up until they meet; the step above the coarsest level meets always."""
    height = 0
    while a != b:
        height += 1
        if level == 0:
            return height
        a, b, level = tree.parents[level][a], tree.parents[level][b], level - 1
    return height


def leaves(tree: Taxonomy) -> list[tuple[int, int]]:
    """Classes without children."""
    return [
        (level, number)
        for level, names in enumerate(tree.classes)
        for number in range(len(names))
        if not children(tree, level, number)
    ]


def paths(tree: Taxonomy) -> set[tuple[str, ...]]:
    """Every class as the names from its coarsest ancestor down to it."""
    found: set[tuple[str, ...]] = set()
    for level, names in enumerate(tree.classes):
        for number in range(len(names)):
            walk = [tree.classes[up][ancestor(tree, level, number, up)] for up in range(level + 1)]
            found.add(tuple(walk))
    return found
