"""Metrics of a hierarchy by the letter: one image at a time, ancestors by walking up, classes sorted by hand.

Ties: of classes with equal logits the one farther from the truth is named first.
"""

from __future__ import annotations

from collections.abc import Sequence

Logits = Sequence[Sequence[float]]
Parents = Sequence[Sequence[int]]


def height(parents: Parents, a: int, b: int) -> int:
    """Height of the lowest common ancestor of two classes of the finest level; `parents` as in a taxonomy."""
    up = 0
    for level in range(len(parents) - 1, -1, -1):
        if a == b:
            return up
        up += 1
        if level:
            a, b = parents[level][a], parents[level][b]
    return up  # only the root is common


def named(parents: Parents, row: Sequence[float], truth: int) -> list[int]:
    """All classes in the order in which they are named."""
    return sorted(range(len(row)), key=lambda f: (-row[f], -height(parents, f, truth)))


def mistake_severity(parents: Parents, logits: Logits, targets: Sequence[int]) -> float | None:
    heights = []
    for row, truth in zip(logits, targets, strict=True):
        if truth >= 0:
            first = named(parents, row, truth)[0]
            if first != truth:
                heights.append(height(parents, first, truth))
    return sum(heights) / len(heights) if heights else None


def hierarchical_distance(parents: Parents, logits: Logits, targets: Sequence[int], k: int) -> float:
    means = []
    for row, truth in zip(logits, targets, strict=True):
        if truth >= 0:
            first = named(parents, row, truth)[:k]
            means.append(sum(height(parents, f, truth) for f in first) / k)
    return sum(means) / len(means)


def implied_coarse_top1(parent: Sequence[int], logits: Logits, coarse: Sequence[int]) -> float:
    hits = []
    for row, truth in zip(logits, coarse, strict=True):
        if truth >= 0:
            best = [f for f in range(len(row)) if row[f] == max(row)]
            hits.append(all(parent[f] == truth for f in best))
    return 100.0 * sum(hits) / len(hits)


def level_consistency(parent: Sequence[int], fine: Logits, coarse: Logits) -> float:
    same = []
    for low, high in zip(fine, coarse, strict=True):
        under = {parent[f] for f in range(len(low)) if low[f] == max(low)}
        over = {c for c in range(len(high)) if high[c] == max(high)}
        same.append(under == over and len(over) == 1)
    return 100.0 * sum(same) / len(same)


def nonsingleton_top1(parent: Sequence[int], logits: Logits, targets: Sequence[int]) -> float | None:
    """Accuracy over images whose class has a sibling; a tie with the true class is a miss."""
    hits = []
    for row, truth in zip(logits, targets, strict=True):
        if truth >= 0 and list(parent).count(parent[truth]) > 1:
            hits.append(all(row[f] < row[truth] for f in range(len(row)) if f != truth))
    return 100.0 * sum(hits) / len(hits) if hits else None
