"""Line charts as geometry: ticks and paths in a fixed frame, which a template draws in colours for light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["HEIGHT", "WIDTH", "Chart", "Curve", "Drawn", "chart"]

WIDTH, HEIGHT = 400, 236
"""The frame of a chart: about as wide as a phone shows, so that its letters are not shrunk there."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 14, 16, 34
_MOST_POINTS = 400
_DOTS_UP_TO = 40


@dataclass(frozen=True)
class Curve:
    """Points of one run: `series` is its colour, `marked` the x of the point to be marked, `note` what it says."""

    name: str
    series: int
    points: tuple[tuple[float, float], ...]
    marked: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Drawn:
    """A curve in the frame: an SVG path, dots where there are few, and the marked point (x, y) or None."""

    name: str
    series: int
    path: str
    dots: tuple[tuple[float, float], ...]
    mark: tuple[float, float] | None
    note: str
    note_end: bool


@dataclass(frozen=True)
class Chart:
    """A chart in its frame.

    Attributes:
        title, unit: above it.
        about: what it shows, for who cannot see it.
        x_ticks, y_ticks: place in the frame and text.
        stages: place and name of where further training stages begin.
    """

    title: str
    unit: str
    about: str
    curves: tuple[Drawn, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    stages: tuple[tuple[float, str], ...]
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    top: int = _TOP
    bottom: int = HEIGHT - _BOTTOM


def chart(title: str, unit: str, curves: Sequence[Curve], stages: Sequence[tuple[float, str]] = ()) -> Chart:
    """Lay curves out in one frame; x are epochs.

    Raises:
        ValueError: no point is finite.
    """
    finite = [
        Curve(each.name, each.series, tuple(p for p in each.points if math.isfinite(p[1])), each.marked, each.note)
        for each in curves
    ]
    finite = [each for each in finite if each.points]
    if not finite:
        raise ValueError(f"{title}: no curve has a finite point")
    xs = [x for each in finite for x, _ in each.points]
    ys = [y for each in finite for _, y in each.points]
    x_ticks, y_ticks = _ticks(min(xs), max(xs), 6, whole=True), _ticks(min(ys), max(ys), 5)
    x_range, y_range = (min(xs), max(xs)), (min(y_ticks[0], *ys), max(y_ticks[-1], *ys))

    def across(x: float) -> float:
        return round(_LEFT + (WIDTH - _LEFT - _RIGHT) * _share(x, *x_range), 1)

    def up(y: float) -> float:
        return round(HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * _share(y, *y_range), 1)

    drawn = []
    for each in finite:
        places = [(across(x), up(y)) for x, y in _thinned(each.points)]
        marked = next(((across(x), up(y)) for x, y in each.points if x == each.marked), None)
        path = "M" + "L".join(f"{x:g} {y:g}" for x, y in places)
        dots = tuple(places) if len(places) <= _DOTS_UP_TO else ()
        end = marked is not None and marked[0] > WIDTH * 0.55
        drawn.append(Drawn(each.name, each.series, path, dots, marked, each.note, end))
    return Chart(
        title,
        unit,
        "; ".join(map(_told, finite)),
        tuple(drawn),
        tuple((across(x), f"{x:g}") for x in x_ticks if x_range[0] <= x <= x_range[1]),
        tuple((up(y), f"{y:,.6g}") for y in y_ticks if y_range[0] <= y <= y_range[1]),
        tuple((across(x), name) for x, name in stages if x > x_range[0]),
    )


def _share(value: float, low: float, high: float) -> float:
    return 0.5 if high <= low else (value - low) / (high - low)


def _told(curve: Curve) -> str:
    (first, start), (last, end) = curve.points[0], curve.points[-1]
    text = f"{curve.name}: {start:.3g} at epoch {first:g}"
    if last != first:
        text += f", {end:.3g} at epoch {last:g}"
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


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """So many that a page stays small, first and last among them."""
    if len(points) <= _MOST_POINTS:
        return list(points)
    step = (len(points) - 1) / (_MOST_POINTS - 1)
    return [points[round(number * step)] for number in range(_MOST_POINTS)]
