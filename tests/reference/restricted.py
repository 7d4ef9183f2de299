"""The restricted protocol by the letter: one image at a time, candidates by walking over all classes."""

from __future__ import annotations

from collections.abc import Sequence

Rows = Sequence[Sequence[float]]


def named(row: Sequence[float]) -> int:
    """The coarse class named; none (-1) when the highest logit is there twice."""
    best = [c for c in range(len(row)) if row[c] == max(row)]
    return best[0] if len(best) == 1 else -1


def restricted(parent: Sequence[int], fine: Rows, targets: Sequence[int], coarse: Sequence[int], k: int) -> float:
    """Of classes with equal logits the true one is named last; a wrong coarse class is a wrong fine class."""
    hits = []
    for row, truth, group in zip(fine, targets, coarse, strict=True):
        if truth < 0:
            continue
        candidates = [f for f in range(len(row)) if parent[f] == group]
        order = sorted(candidates, key=lambda f: (-row[f], f == truth))
        hits.append(truth in order[:k])
    return 100.0 * sum(hits) / len(hits)


def guessed(parent: Sequence[int], targets: Sequence[int], right: Sequence[float], k: int) -> float:
    """Every set of k children is as likely: the true one is in k of n of them."""
    chances = []
    for truth, chance in zip(targets, right, strict=True):
        if truth >= 0:
            siblings = [f for f in range(len(parent)) if parent[f] == parent[truth]]
            chances.append(chance * min(k, len(siblings)) / len(siblings))
    return 100.0 * sum(chances) / len(chances)


def largest(parent: Sequence[int], targets: Sequence[int], right: Sequence[float]) -> float:
    """For every coarse class, its most frequent child is named; all ways to break ties are tried, the best counts."""
    total = 0.0
    for group in set(parent):
        counts = {f: list(targets).count(f) for f in range(len(parent)) if parent[f] == group}
        options = [f for f in counts if counts[f] == max(counts.values())]
        total += max(sum(r for t, r in zip(targets, right, strict=True) if t == f) for f in options)
    return 100.0 * total / sum(t >= 0 for t in targets)
