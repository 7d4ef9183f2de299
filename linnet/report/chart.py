"""Line charts as geometry: ticks and paths in a fixed frame, which a template draws in colours for light and dark.

Notes of marked points stand below a chart, not in it: there they can never lie on a line.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

__all__ = ["HEIGHT", "WIDTH", "Axes", "Chart", "Curve", "Drawn", "chart"]

WIDTH, HEIGHT = 400, 236
"""The frame of a chart: about as wide as a phone shows, so that its letters are not shrunk there."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 14, 20, 34
_MOST_POINTS = 400
_DOTS_UP_TO = 40
_ALL_POINTS = 4000
"""Points of a chart, all its curves together: so that a page of many runs stays small."""

_LETTER = 6.6
"""How wide a letter is in the frame, at most on average."""


@dataclass(frozen=True)
class Curve:
    """Points of one run: `series` is its colour, `marked` the x of the point to be marked, `note` what it says.

    `style` is the dashes; None for those of the series.
    """

    name: str
    series: int
    points: tuple[tuple[float, float], ...]
    marked: float | None = None
    note: str = ""
    style: int | None = None


@dataclass(frozen=True)
class Axes:
    """What a chart runs over.

    Attributes:
        x: name of the x axis; `whole` whether its ticks are whole numbers.
        x_range, y_range: fixed ends; None for those of the points.
        diagonal: whether x = y is drawn, to compare with.
        bars: x from, x to and height (0 to 1) of bars along the foot.
    """

    x: str = "epoch"
    whole: bool = True
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None
    diagonal: bool = False
    bars: tuple[tuple[float, float, float], ...] = ()


@dataclass(frozen=True)
class Drawn:
    """A curve in the frame: an SVG path, dots where there are few, and the marked point (x, y) or None."""

    name: str
    series: int
    path: str
    dots: tuple[tuple[float, float], ...]
    mark: tuple[float, float] | None
    note: str
    style: int


@dataclass(frozen=True)
class Chart:
    """A chart in its frame.

    Attributes:
        title, unit: above it.
        about: what it shows, for who cannot see it.
        x_ticks, y_ticks: place in the frame and text.
        stages: place and name of where further training stages begin; "" for a name that has no room.
        x_name: what runs along its foot.
        diagonal: whether the line from corner to corner is drawn; `bars` x, y, width and height of bars.
    """

    title: str
    unit: str
    about: str
    curves: tuple[Drawn, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    stages: tuple[tuple[float, str], ...]
    x_name: str = "epoch"
    diagonal: bool = False
    bars: tuple[tuple[float, float, float, float], ...] = ()
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    top: int = _TOP
    bottom: int = HEIGHT - _BOTTOM


def chart(
    title: str,
    unit: str,
    curves: Sequence[Curve],
    stages: Sequence[tuple[float, str]] = (),
    axes: Axes | None = None,
) -> Chart:
    """Lay curves out in one frame, over epochs unless `axes` says otherwise.

    Raises:
        ValueError: no point is finite.
    """
    axes = axes or Axes()
    finite = [replace(each, points=tuple(p for p in each.points if math.isfinite(p[1]))) for each in curves]
    finite = [each for each in finite if each.points]
    if not finite:
        raise ValueError(f"{title}: no curve has a finite point")
    xs, ys = ([point[axis] for each in finite for point in each.points] for axis in (0, 1))
    x_low, x_high = axes.x_range or (min(xs), max(xs))
    x_ticks, y_ticks = _ticks(x_low, x_high, 6, whole=axes.whole), _ticks(*(axes.y_range or (min(ys), max(ys))), 5)
    y_low, y_high = axes.y_range or (min(y_ticks[0], *ys), max(y_ticks[-1], *ys))

    def across(x: float) -> float:
        return round(_LEFT + (WIDTH - _LEFT - _RIGHT) * _share(x, x_low, x_high), 1)

    def up(y: float) -> float:
        return round(HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * _share(y, y_low, y_high), 1)

    def bar(start: float, end: float, share: float) -> tuple[float, float, float, float]:
        height = round((HEIGHT - _TOP - _BOTTOM) * share, 1)
        return across(start) + 0.5, HEIGHT - _BOTTOM - height, round(across(end) - across(start) - 1, 1), height

    most = max(2, min(_MOST_POINTS, _ALL_POINTS // len(finite)))
    drawn = []
    for each in finite:
        places = [(across(x), up(y)) for x, y in _thinned(each.points, most)]
        marked = next(((across(x), up(y)) for x, y in each.points if x == each.marked), None)
        path = "M" + "L".join(f"{x:g} {y:g}" for x, y in places)
        dots = tuple(places) if len(places) <= _DOTS_UP_TO else ()
        style = each.series % 8 if each.style is None else each.style
        drawn.append(Drawn(each.name, each.series, path, dots, marked, each.note, style))
    return Chart(
        title,
        unit,
        "; ".join(_told(each, axes.x) for each in finite),
        tuple(drawn),
        tuple((across(x), f"{x:g}") for x in x_ticks if x_low <= x <= x_high),
        tuple((up(y), f"{y:,.6g}") for y in y_ticks if y_low <= y <= y_high),
        _roomy([(across(x), name) for x, name in stages if x > x_low]),
        axes.x,
        axes.diagonal,
        tuple(bar(*each) for each in axes.bars),
    )


def _roomy(stages: Sequence[tuple[float, str]]) -> tuple[tuple[float, str], ...]:
    """Stages with the names that stand clear of the one before and of the frame's end."""
    found: list[tuple[float, str]] = []
    free = 0.0
    for x, name in stages:
        end = x + 3 + _LETTER * len(name)
        fits = x >= free and end <= WIDTH
        found.append((x, name if fits else ""))
        free = end + _LETTER if fits else free
    return tuple(found)


def _share(value: float, low: float, high: float) -> float:
    return 0.5 if high <= low else (value - low) / (high - low)


def _told(curve: Curve, x: str) -> str:
    (first, start), (last, end) = curve.points[0], curve.points[-1]
    text = f"{curve.name}: {start:.3g} at {x} {first:.4g}"
    if last != first:
        text += f", {end:.3g} at {x} {last:.4g}"
    return text + f" ({curve.note})" * bool(curve.note)


def _ticks(low: float, high: float, most: int, *, whole: bool = False) -> list[float]:
    """Round numbers from at or below `low` to at or above `high`."""
    if high <= low:
        return [low]
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * each for each in (1, 2, 2.5, 5, 10) if power * each >= raw)
    if whole:
        step = max(1.0, float(math.ceil(step)))
    start, stop = math.floor(low / step), math.ceil(high / step)
    return [round(number * step, 12) for number in range(start, stop + 1)]


def _thinned(points: Sequence[tuple[float, float]], most: int) -> list[tuple[float, float]]:
    """At most so many, first and last among them."""
    if len(points) <= most:
        return list(points)
    step = (len(points) - 1) / (most - 1)
    return [points[round(number * step)] for number in range(most)]
