"""All figures of some series side by side, each with what chance scores and what the paper has."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from linnet.methods import method_class
from linnet.metrics.units import lower_is_better, unit
from linnet.report.labels import heading
from linnet.report.series import Collection, Series
from linnet.report.words import explained, key_metrics

__all__ = ["Cell", "Line", "compare", "grouped", "headline_lines", "judge"]

_GROUPS = ("Naming classes", "Search by embedding", "Other")
_MAIN = re.compile(
    r"(coarse|fine)_top[15]|fine_top1_(restricted|uniform_child|largest_child|neighbour|seen|unseen|harmonic)"
    r"|mistake_severity|fine_recall@\d+|(coarse|level:.+)_recall@1|fine_recall@1_within|attention_.+"
)


@dataclass(frozen=True)
class Cell:
    """A metric of one series.

    Attributes:
        series: its number.
        text: the mean, with half the 95 % t-interval of two runs or more.
        values: of each run, where there are several.
        value, floor, published: for bars, in the metric's unit; None where there is none.
        above: whether it is clear of chance on so many images; None where that cannot be said.
    """

    series: int
    text: str
    values: tuple[str, ...]
    value: float
    floor: float | None
    published: float | None
    above: bool | None

    @property
    def bar(self) -> float:
        """The value's place on a scale from 0 to 100."""
        return max(0.0, min(100.0, self.value))


@dataclass(frozen=True)
class Line:
    """A metric: its key and name, its unit ('%' for most), what it counts, and a cell for each series, None where it
    has no such figure; `group` is the part of the table, `main` whether most readers want it."""

    metric: str
    name: str
    unit: str
    about: str
    lower: bool
    group: str
    main: bool
    cells: tuple[Cell | None, ...]


def compare(collection: Collection) -> list[Line]:
    """Every metric that a series has, naming before search before the rest."""
    metrics = list(dict.fromkeys(m for s in collection.series for run in s.runs for m in run.evaluation.figures))
    lines = [_line(metric, collection) for metric in metrics]
    return sorted(lines, key=lambda line: _GROUPS.index(line.group))


def grouped(lines: Sequence[Line], main: bool) -> list[tuple[str, list[Line]]]:
    """The lines that most readers want, or the others, by part of the table."""
    parts = [(group, [line for line in lines if line.group == group and line.main == main]) for group in _GROUPS]
    return [(group, members) for group, members in parts if members]


def headline_lines(collection: Collection, lines: Sequence[Line]) -> list[Line]:
    """The figures that a reader wants first."""
    needs = frozenset(need for each in collection.series for need in method_class(each.recipe.method).needs)
    by_name = {line.metric: line for line in lines}
    return [by_name[metric] for metric in key_metrics(list(by_name), needs)]


def _line(metric: str, collection: Collection) -> Line:
    naming = re.search(r"_top\d|^hierarchical|^mistake|^level_consistency", metric)
    group = _GROUPS[0 if naming else 1 if "recall@" in metric else 2]
    cells = tuple(_cell(metric, each) for each in collection.series)
    about = explained(metric, collection.data)
    main = _MAIN.fullmatch(metric) is not None
    return Line(metric, heading(metric), unit(metric), about, lower_is_better(metric), group, main, cells)


def _cell(metric: str, series: Series) -> Cell | None:
    value = series.mean(metric)
    if value is None:
        return None
    half, values = series.half(metric), series.values(metric)
    text = f"{value:.2f}" if half is None else f"{value:.2f} ± {half:.2f}"
    floor, images = series.floor(metric), series.first.evaluation.images
    above = judge(value, floor, images) if unit(metric) == "%" and not lower_is_better(metric) else None
    each = tuple(f"{one:.2f}" for one in values) if len(values) > 1 else ()
    return Cell(series.number, text, each, value, floor, series.recipe.published.get(metric), above)


def judge(value: float, floor: float | None, images: int) -> bool | None:
    """Whether a share of images, percent, is above chance by more than so few images allow (95 %, normal).

    None without a floor, or with one that is no chance: 0 or 100.
    """
    if floor is None or not 0 < floor < 100 or images < 1:
        return None
    return value - floor > 1.96 * math.sqrt(floor * (100 - floor) / images)
