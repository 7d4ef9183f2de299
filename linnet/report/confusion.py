"""What is taken for what: within the coarse classes that confuse most, among coarse classes, and pair by pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from linnet.report.probe import Probe, class_names

__all__ = ["Confusions", "Heat", "Pair", "confusions"]

_MOST = 24
_PAIRS = 12
_WORST = 3

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Heat:
    """A matrix of true class by the class taken for it.

    Attributes:
        title: what it is of.
        names: its n classes.
        shares: percent of each true class's images, n rows of n.
        elsewhere: percent taken for a class outside; images: how many images each true class has.
        left_out: classes that are not shown, those with the fewest errors.
    """

    title: str
    names: tuple[str, ...]
    shares: tuple[tuple[float, ...], ...]
    elsewhere: tuple[float, ...]
    images: tuple[int, ...]
    left_out: int


@dataclass(frozen=True)
class Pair:
    """Images of one class taken for another: how many, and which share, percent, of the class's images."""

    true: str
    taken: str
    images: int
    share: float
    siblings: bool


@dataclass(frozen=True)
class Confusions:
    """All of one run.

    Attributes:
        by: who takes images for a class: "class named" or "class of the nearest image".
        coarse_by: the same of coarse classes.
        worst: matrices of fine classes within coarse ones, worst first; empty without two levels with labels.
        coarse: the matrix of coarse classes; None without labels.
        pairs: the commonest confusions of fine classes, or of coarse ones where there is one level.
        shares: of images, percent: the fine class right, another of the same coarse class, and the rest; None without
            fine labels.
    """

    by: str
    coarse_by: str
    worst: tuple[Heat, ...]
    coarse: Heat | None
    pairs: tuple[Pair, ...]
    shares: tuple[float, float, float] | None


def confusions(probe: Probe) -> Confusions:
    """Count what a run takes for what among the images of a probe."""
    data, taxonomy = probe.data, probe.data.manifest.taxonomy
    told = ("the class of the nearest image", "the class named")
    by, coarse_by = told[probe.names_fine], told[probe.said.coarse_logits is not None]
    coarse_names = class_names(data, data.coarse)
    coarse_counts = _counts(probe.coarse, probe.taken_for(False), len(coarse_names))
    coarse = _heat("", coarse_counts, coarse_names, np.arange(len(coarse_names)), coarse_counts.sum(1))
    known = probe.fine >= 0
    if data.coarse == data.fine or not known.any():
        pairs = _pairs(coarse_counts, coarse_names, np.zeros(len(coarse_names), np.int64))
        return Confusions(by, coarse_by, (), coarse, pairs, None)
    names, taken = class_names(data, data.fine), probe.taken_for(True)
    counts = _counts(probe.fine, taken, len(names))
    parent = taxonomy.ancestor(data.fine, data.coarse)
    right = float(np.mean(taken[known] == probe.fine[known]))
    sibling = float(np.mean((taken >= 0)[known] & (parent[taken[known]] == parent[probe.fine[known]]))) - right
    worst = _worst(counts, coarse_names, names, parent)
    shares = (100 * right, 100 * sibling, 100 * (1 - right - sibling))
    return Confusions(by, coarse_by, worst, coarse, _pairs(counts, names, parent), shares)


def _counts(true: Rows, taken: Rows, classes: int) -> Rows:
    """Images by true class and class taken, int64 (n, n + 1); the last column is no class."""
    known = true >= 0
    column = np.where(taken[known] >= 0, taken[known], classes)
    flat = np.bincount(true[known] * (classes + 1) + column, minlength=classes * (classes + 1))
    return flat.reshape(classes, classes + 1).astype(np.int64)


def _worst(counts: Rows, coarse_names: Sequence[str], names: Sequence[str], parent: Rows) -> tuple[Heat, ...]:
    """The coarse classes within which the largest share of images is taken for a sibling."""
    found = []
    for c, name in enumerate(coarse_names):
        children = np.flatnonzero(parent == c)
        block = counts[np.ix_(children, children)]
        images = int(counts[children].sum())
        wrong = int(block.sum() - np.trace(block))
        if len(children) > 1 and wrong:
            found.append((wrong / images, name, children))
    found.sort(key=lambda each: (-each[0], each[1]))
    heats = []
    for share, name, children in found[:_WORST]:
        title = f"{name}: {100 * share:.0f} % taken for a sibling"
        if (heat := _heat(title, counts, names, children, counts.sum(1))) is not None:
            heats.append(heat)
    return tuple(heats)


def _heat(title: str, counts: Rows, names: Sequence[str], chosen: Rows, images: Rows) -> Heat | None:
    """The part of a matrix for chosen classes, of too many those with the most errors."""
    chosen = chosen[images[chosen] > 0]
    if not len(chosen):
        return None
    errors = images[chosen] - counts[chosen, chosen]
    shown = np.sort(chosen[np.argsort(-errors, kind="stable")[:_MOST]])
    block = 100 * counts[np.ix_(shown, shown)] / images[shown, None]
    return Heat(
        title,
        tuple(names[number] for number in shown),
        tuple(tuple(float(share) for share in row) for row in block),
        tuple(float(share) for share in np.maximum(0, 100 - block.sum(1))),
        tuple(int(number) for number in images[shown]),
        len(chosen) - len(shown),
    )


def _pairs(counts: Rows, names: Sequence[str], parent: Rows) -> tuple[Pair, ...]:
    """The pairs of classes that most images are confused between, in the direction of the error."""
    images, off = counts.sum(1), counts[:, :-1].copy()
    np.fill_diagonal(off, 0)
    found = []
    for flat in np.argsort(-off, axis=None, kind="stable")[:_PAIRS]:
        true, taken = divmod(int(flat), off.shape[1])
        if off[true, taken]:
            count = int(off[true, taken])
            alike = bool(parent[true] == parent[taken])
            found.append(Pair(names[true], names[taken], count, 100 * count / int(images[true]), alike))
    return tuple(found)
