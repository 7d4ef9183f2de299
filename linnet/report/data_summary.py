"""What a collection holds: images and labels of each split, how even its classes are, and some examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from linnet.explain.inputs import squares
from linnet.randomness import permutation
from linnet.report.probe import class_names, image_name, images_of
from linnet.report.series import Measured, Series
from linnet.report.words import learned_from

__all__ = ["Balance", "DataSummary", "Example", "LevelCount", "SplitCount", "summarise"]

_EXAMPLE_CLASSES = 12
_BARS = 40
_SIDE = 112


@dataclass(frozen=True)
class LevelCount:
    """Images of a split that are labelled at a level, and how many classes they are of."""

    labelled: int
    classes: int


@dataclass(frozen=True)
class SplitCount:
    """A split: its images, and a count for each level, coarsest first."""

    name: str
    images: int
    levels: tuple[LevelCount, ...]


@dataclass(frozen=True)
class Balance:
    """How many training images the classes of a level have.

    Attributes:
        level: its name.
        classes: how many have an image; `empty` how many have none.
        least, median, most: images.
        single: classes with one image.
        bars: classes by falling size, name and images; the smallest are left out of many (`hidden` says how many).
    """

    level: str
    classes: int
    empty: int
    least: int
    median: float
    most: int
    single: int
    bars: tuple[tuple[str, int], ...]
    hidden: int


@dataclass(frozen=True, eq=False)
class Example:
    """A picture (S, S, 3) of the training images, its finest class and the coarse one above."""

    pixels: NDArray[np.uint8]
    image: str
    fine: str
    coarse: str


@dataclass(frozen=True)
class DataSummary:
    """A collection.

    Attributes:
        levels: names, coarsest first, with the number of classes.
        splits: what each holds.
        carved: whether validation images were taken from the training split by Linnet.
        balance: of the coarse and of the fine level; a level without labels in training is left out.
        learned: for each series, what its runs learned from.
        examples: a picture of each of some coarse classes.
    """

    levels: tuple[tuple[str, int], ...]
    splits: tuple[SplitCount, ...]
    carved: bool
    balance: tuple[Balance, ...]
    learned: tuple[tuple[str, str], ...]
    examples: tuple[Example, ...]


def summarise(series: Sequence[Series]) -> DataSummary:
    """Count what the first run's data holds, and what the runs of each series learned from."""
    first = series[0].first
    data, taxonomy = first.data, first.data.manifest.taxonomy
    splits = [_split(first, name) for name, rows in data.rows.items() if len(rows)]
    levels = dict.fromkeys((data.coarse, data.fine))
    balance = [found for level in levels if (found := _balance(first, level)) is not None]
    return DataSummary(
        tuple((name, taxonomy.count(number)) for number, name in enumerate(taxonomy.levels)),
        tuple(splits),
        data.carved,
        tuple(balance),
        tuple((each.name, learned_from(each.first)) for each in series),
        _examples(first),
    )


def _split(measured: Measured, name: str) -> SplitCount:
    targets = measured.data.manifest.targets[measured.data.rows[name]]
    levels = [LevelCount(int((column >= 0).sum()), len(np.unique(column[column >= 0]))) for column in targets.T]
    return SplitCount(name, len(targets), tuple(levels))


def _balance(measured: Measured, level: int) -> Balance | None:
    """Sizes of the classes of a level among the training images."""
    data = measured.data
    labels = data.manifest.targets[data.rows["train"], level]
    names = class_names(data, level)
    counts = np.bincount(labels[labels >= 0], minlength=len(names))
    there = counts[counts > 0]
    if not len(there):
        return None
    order = np.argsort(-counts, kind="stable")
    order = order[counts[order] > 0]
    return Balance(
        data.manifest.taxonomy.levels[level],
        len(there),
        int((counts == 0).sum()),
        int(there.min()),
        float(np.median(there)),
        int(there.max()),
        int((there == 1).sum()),
        tuple((names[number], int(counts[number])) for number in order[:_BARS]),
        max(0, len(order) - _BARS),
    )


def _examples(measured: Measured) -> tuple[Example, ...]:
    """One training image of each of some coarse classes, drawn by a fixed key."""
    data = measured.data
    rows = data.rows["train"]
    rows = rows[permutation(len(rows), 0, "report examples")]
    targets = data.manifest.targets
    rows = rows[targets[rows, data.coarse] >= 0]
    if not len(rows):
        return ()
    _, places = np.unique(targets[rows, data.coarse], return_index=True)
    chosen = rows[np.sort(places)[:_EXAMPLE_CLASSES]]
    chosen = chosen[np.argsort(targets[chosen, data.coarse], kind="stable")]
    least = 0 if data.manifest.pixels is not None else _SIDE
    shown = squares(images_of(data, chosen), measured.run.bundle.preprocessing, least)
    coarse, fine = class_names(data, data.coarse), class_names(data, data.fine)
    examples = []
    for pixels, row in zip(shown, chosen.tolist(), strict=True):
        number, above = int(targets[row, data.fine]), coarse[int(targets[row, data.coarse])]
        named = fine[number] if number >= 0 and data.fine != data.coarse else ""
        examples.append(Example(pixels, image_name(data, row), named, above))
    return tuple(examples)
