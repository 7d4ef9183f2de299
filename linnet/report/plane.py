"""Embeddings in the plane as paths that a template draws: by coarse class, and within a few of them by fine class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from linnet.errors import RunError
from linnet.explain.projection import choose_classes, project
from linnet.randomness import permutation
from linnet.report.probe import Probe, class_names

__all__ = ["COLOURS", "MOST_POINTS", "SIDE", "Group", "Map", "Panel", "embedding_map", "place_labels"]

SIDE = 400
COLOURS = 12
"""Colours that the page's style tells apart; with more classes they come again."""

MOST_POINTS = 2000
_MOST_LABELS = 24
_COMPACT = 0.6
_MARGIN = 16
_LEAST_HEIGHT = 200
_FINE = 12
_LETTERS = 10.5
"""How high letters are in the frame, which the page's style repeats."""

_LETTER = 0.68
"""How wide a bold letter is, over its height, on average."""


@dataclass(frozen=True)
class Group:
    """The points of a class: an SVG path of dots, a colour number, square or round, and where its name stands, if."""

    name: str
    colour: int
    square: bool
    path: str
    points: int
    label: tuple[float, float] | None


@dataclass(frozen=True)
class Panel:
    """A map of classes; it lies over `Map.all`."""

    title: str
    groups: tuple[Group, ...]


@dataclass(frozen=True)
class Map:
    """Maps of one run: method, trustworthiness, how many points, the height of the frame whose width is `SIDE`, the
    path of all points, and a panel by coarse class and others by fine."""

    method: str
    trust: float
    points: int
    height: int
    all: str
    coarse: Panel
    fine: tuple[Panel, ...]


def embedding_map(probe: Probe, most: int = MOST_POINTS) -> Map | None:
    """The map of up to `most` labelled images of a probe; None where fewer than 5 are there."""
    known = np.flatnonzero(probe.coarse >= 0)
    kept = np.sort(known[permutation(len(known), 0, "report map")[:most]])
    if len(kept) < 5:
        return None
    found = project(probe.said.embedding.cpu().numpy()[kept], "tsne")
    points, height = _framed(found.points)
    data = probe.data
    coarse_names = class_names(data, data.coarse)
    by_coarse = _panel("", points, height, probe.coarse[kept], coarse_names, np.arange(len(coarse_names)))
    fine: list[Panel] = []
    names = class_names(data, data.fine)
    try:
        chosen = choose_classes(data, probe.rows[kept], None)
    except RunError:  # no fine labels
        chosen = []
    for c in chosen:
        labels = np.where(probe.coarse[kept] == c, probe.fine[kept], -1)
        numbers, counts = np.unique(labels[labels >= 0], return_counts=True)
        largest = np.sort(numbers[np.argsort(-counts, kind="stable")[:_FINE]])
        fine.append(_panel(coarse_names[c], points, None, labels, names, largest))
    return Map(found.method, found.trust, len(kept), height, _path(points), by_coarse, tuple(fine))


def _framed(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], int]:
    """Points turned so that they spread most from left to right and scaled into a frame, and the frame's height.

    Turning and scaling by one factor change no neighbour.
    """
    centred = points - points.mean(0)
    turned = centred @ np.linalg.svd(centred, full_matrices=False)[2].T
    low, high = turned.min(0), turned.max(0)
    factor = (SIDE - 2 * _MARGIN) / max(float((high - low).max()), 1e-12)
    height = max(_LEAST_HEIGHT, round(float((high - low)[1]) * factor) + 2 * _MARGIN)
    framed: NDArray[np.float64] = ((turned - (low + high) / 2) * factor + (SIDE / 2, height / 2)).round(1)
    return framed, height


def _panel(
    title: str,
    points: NDArray[np.float64],
    height: float | None,
    labels: NDArray[np.int64],
    names: Sequence[str],
    shown: NDArray[np.int64],
) -> Panel:
    """Groups of the classes that are shown and there; the names of the largest stand on the map where they fit.

    Args:
        height: of the frame; None for a map without names, whose few classes differ in colour or shape.
    """
    there = [int(number) for number in shown if (labels == number).any()]
    sizes = {number: int((labels == number).sum()) for number in there}
    members = {number: points[labels == number] for number in there}
    places = {} if height is None else place_labels(members, sizes, names, height)
    groups = [
        Group(
            names[number],
            place % COLOURS,
            (place % 2 if height is None else place // COLOURS % 2) == 1,
            _path(members[number]),
            sizes[number],
            places.get(number),
        )
        for place, number in enumerate(there)
    ]
    return Panel(title, tuple(groups))


def _path(points: NDArray[np.float64]) -> str:
    """A dot at each point: a line of no length with an end."""
    return "".join(f"M{x:g} {y:g}h0" for x, y in points)


def place_labels(
    members: dict[int, NDArray[np.float64]], sizes: dict[int, int], names: Sequence[str], height: float
) -> dict[int, tuple[float, float]]:
    """Where names stand, the largest classes first: by the point that is nearest to the class's median, where free.

    A class that is strewn over the map has no place of its own, and no name on it: the legend tells it. No two names
    come nearer to each other than half a line, or leave the frame.
    """
    taken: list[tuple[float, float, float]] = []
    strewn = _spread(np.concatenate(list(members.values()))) if members else 0.0
    found: dict[int, tuple[float, float]] = {}
    for number in sorted(members, key=lambda each: -sizes[each])[:_MOST_LABELS]:
        own = members[number]
        half = _LETTER / 2 * _LETTERS * len(names[number])
        if _spread(own) > _COMPACT * strewn or 2 * half > SIDE - 4:
            continue
        centre = np.median(own, axis=0)
        x, middle = (float(each) for each in own[np.argmin(((own - centre) ** 2).sum(1))])
        x = float(np.clip(x, half + 2, SIDE - half - 2))
        for y in (middle, middle - 1.2 * _LETTERS, middle + 1.2 * _LETTERS):  # in its place, else just above or below
            inside = _LETTERS / 2 + 2 <= y <= height - _LETTERS / 2 - 2
            if inside and all(
                abs(y - other) > 1.5 * _LETTERS or abs(x - at) > half + wide + _LETTERS for at, other, wide in taken
            ):
                taken.append((x, y, half))
                found[number] = (round(x, 1), round(y + 0.36 * _LETTERS, 1))
                break
    return found


def _spread(points: NDArray[np.float64]) -> float:
    """The median distance from the median point."""
    return float(np.median(np.linalg.norm(points - np.median(points, axis=0), axis=1)))
