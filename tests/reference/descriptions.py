"""Whether descriptions tell classes apart, by the letter: one pair of classes at a time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import sqrt

Table = Sequence[Sequence[float]]


def centred(table: Table) -> list[list[float]]:
    means = [sum(row[k] for row in table) / len(table) for k in range(len(table[0]))]
    return [[value - mean for value, mean in zip(row, means, strict=True)] for row in table]


def cosine(a: Sequence[float], b: Sequence[float]) -> float:
    norms = sqrt(sum(x * x for x in a)) * sqrt(sum(x * x for x in b))
    return sum(x * y for x, y in zip(a, b, strict=True)) / norms if norms > 0 else 0.0


def mean_cosine(table: Table, parent: Sequence[int], *, siblings: bool) -> float | None:
    rows = centred(table)
    found = [
        cosine(rows[f], rows[g]) for f, g in combinations(range(len(rows)), 2) if (parent[f] == parent[g]) is siblings
    ]
    return sum(found) / len(found) if found else None


def share_within(table: Table, parent: Sequence[int]) -> float | None:
    """Total variance is variance of family means plus variance within families."""
    total = sum(value**2 for row in centred(table) for value in row)
    inside = 0.0
    for group in set(parent):
        own = [row for row, p in zip(table, parent, strict=True) if p == group]
        inside += sum(value**2 for row in centred(own) for value in row)
    return inside / total if total > 0 else None


def constant(table: Table) -> list[int]:
    return [k for k in range(len(table[0])) if len({row[k] for row in table}) == 1]
