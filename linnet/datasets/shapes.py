"""What the built-in creatures are made of: polygons in a unit box, y down, heads to the right or up."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import cos, pi, radians, sin

import numpy as np
from numpy.typing import NDArray

__all__ = ["MARKS", "Body", "Part", "body", "ellipse", "mark"]

Points = NDArray[np.float64]
Pair = tuple[float, float]


@dataclass(frozen=True)
class Part:
    """A polygon of a body: points (P, 2), its colour's role, how far (degrees) it swings about its joint."""

    points: Points
    role: str = "body"
    joint: Pair = (0.0, 0.0)
    swing: float = 0.0


@dataclass(frozen=True)
class Body:
    """A body plan: its parts from back to front, and where the mark sits at either of its two places."""

    parts: tuple[Part, ...]
    front: tuple[Pair, ...]
    rear: tuple[Pair, ...]
    mark_scale: float = 1.0


def ellipse(x: float, y: float, rx: float, ry: float, turn: float = 0.0, corners: int = 22) -> Points:
    """An ellipse around (x, y) with radii rx, ry, turned by `turn` degrees, as a polygon (corners, 2)."""
    angle = np.arange(corners) * (2 * pi / corners)
    along, across = rx * np.cos(angle), ry * np.sin(angle)
    c, s = cos(radians(turn)), sin(radians(turn))
    return np.stack([x + c * along - s * across, y + s * along + c * across], axis=1)


def _polygon(*corners: Pair) -> Points:
    """A polygon (P, 2) from its corners."""
    return np.array(corners, dtype=np.float64)


def _limb(start: Pair, end: Pair, width: float, tip: float | None = None) -> Points:
    """A bar from start to end, `width` wide at its start and `tip` (default: as wide) at its end: (4, 2)."""
    a, b = np.array(start), np.array(end)
    side = np.array([a[1] - b[1], b[0] - a[0]]) / np.hypot(*(b - a)) / 2
    thin = width if tip is None else tip
    return np.stack([a + side * width, b + side * thin, b - side * thin, a - side * width])


def _eye(x: float, y: float, size: float = 0.09) -> tuple[Part, Part]:
    """An eye looking forward."""
    return (
        Part(ellipse(x, y, size, size, corners=12), "eye"),
        Part(ellipse(x + size * 0.3, y, size * 0.6, size * 0.6, corners=10), "pupil"),
    )


def _bird() -> Body:
    parts = (
        Part(
            _polygon((-0.42, -0.10), (-1.0, -0.40), (-0.98, -0.12), (-0.86, 0.08), (-0.40, 0.22)),
            "shade",
            (-0.4, 0),
            16,
        ),
        Part(
            _polygon((0.10, -0.20), (-0.06, -0.62), (-0.44, -0.98), (-0.58, -0.70), (-0.46, -0.16)),
            "shade",
            (-0.1, -0.2),
            16,
        ),
        Part(_limb((-0.08, 0.42), (-0.12, 0.86), 0.08), "horn", (-0.1, 0.4), 14),
        Part(_limb((-0.16, 0.86), (0.06, 0.86), 0.07), "horn", (-0.1, 0.4), 0),
        Part(_limb((0.16, 0.42), (0.18, 0.86), 0.08), "horn", (0.1, 0.4), 14),
        Part(_limb((0.14, 0.86), (0.36, 0.86), 0.07), "horn", (0.1, 0.4), 0),
        Part(_polygon((0.74, -0.62), (1.04, -0.46), (0.74, -0.36)), "horn"),
        Part(ellipse(0.0, 0.08, 0.66, 0.46, -8)),
        Part(ellipse(0.55, -0.46, 0.29, 0.29)),
        *_eye(0.64, -0.52),
    )
    return Body(parts, front=((0.27, 0.06),), rear=((-0.28, 0.12),))


def _fish() -> Body:
    parts = (
        Part(_polygon((-0.5, 0.0), (-1.0, -0.46), (-0.86, 0.0), (-1.0, 0.46)), "shade", (-0.55, 0), 20),
        Part(_polygon((0.30, -0.34), (0.02, -0.80), (-0.42, -0.66), (-0.36, -0.30)), "shade", (0, -0.4), 8),
        Part(_polygon((0.22, 0.36), (-0.06, 0.74), (-0.28, 0.64), (-0.14, 0.36)), "shade", (0, 0.4), 14),
        Part(_polygon(*[(x, y) for x, y in _spindle(0.98, 0.50)])),
        *_eye(0.68, -0.12, 0.10),
        Part(_limb((0.76, 0.18), (0.92, 0.10), 0.05), "outline"),
    )
    return Body(parts, front=((0.26, 0.0),), rear=((-0.24, 0.0),))


def _spindle(nose: float, height: float) -> list[Pair]:
    """A fish's outline: round at the nose (right), drawn out to the tail (left)."""
    turn = [2 * pi * i / 26 for i in range(26)]
    return [(nose * cos(t) * 0.84 + 0.12, height * sin(t) * (0.62 + 0.38 * (1 + cos(t)) ** 0.5)) for t in turn]


def _fox() -> Body:
    legs = [
        ((-0.46, 0.22), (-0.52, 0.86)),
        ((-0.26, 0.22), (-0.24, 0.86)),
        ((0.22, 0.22), (0.20, 0.86)),
        ((0.42, 0.22), (0.48, 0.86)),
    ]
    parts = (
        Part(ellipse(-0.86, -0.22, 0.42, 0.17, 62), "body", (-0.62, 0.02), 26),
        Part(ellipse(-0.99, -0.47, 0.15, 0.12, 62), "tint", (-0.62, 0.02), 0),
        *(Part(_limb(a, b, 0.19, 0.13), "shade", a, 12) for a, b in legs),
        Part(ellipse(-0.06, 0.06, 0.66, 0.37)),
        Part(_polygon((0.42, -0.52), (0.36, -0.98), (0.64, -0.70)), "shade", (0.5, -0.6), 8),
        Part(_polygon((0.62, -0.66), (0.74, -1.0), (0.84, -0.56)), "shade", (0.7, -0.6), 8),
        Part(ellipse(0.62, -0.40, 0.31, 0.28)),
        Part(_polygon((0.76, -0.50), (1.08, -0.24), (0.74, -0.16)), "tint"),
        Part(ellipse(1.05, -0.25, 0.06, 0.06, corners=10), "pupil"),
        *_eye(0.66, -0.46, 0.08),
    )
    return Body(parts, front=((0.20, 0.05),), rear=((-0.34, 0.05),))


def _turtle() -> Body:
    dome = _polygon(*[(0.72 * cos(pi + pi * i / 16) - 0.1, 0.30 + 0.92 * sin(pi + pi * i / 16)) for i in range(17)])
    parts = (
        Part(_polygon((-0.72, 0.20), (-1.04, 0.44), (-0.70, 0.44)), "tint", (-0.7, 0.3), 14),
        Part(ellipse(-0.50, 0.50, 0.17, 0.30, 12), "tint", (-0.5, 0.3), 16),
        Part(ellipse(0.34, 0.50, 0.17, 0.30, -12), "tint", (0.3, 0.3), 16),
        Part(_limb((0.52, 0.26), (0.80, -0.04), 0.24, 0.20), "tint", (0.5, 0.3), 0),
        Part(ellipse(0.84, -0.08, 0.23, 0.19, -12), "tint"),
        *_eye(0.90, -0.13, 0.08),
        Part(dome),
        Part(_polygon((-0.90, 0.24), (0.70, 0.24), (0.74, 0.40), (-0.94, 0.40)), "shade"),
    )
    return Body(parts, front=((0.16, -0.12),), rear=((-0.38, -0.12),))


def _beetle() -> Body:
    legs = [
        Part(
            np.concatenate(
                [
                    _limb((x, 0.3 * side), (x + dx * 0.6, 0.72 * side), 0.10),
                    _limb((x + dx * 0.6, 0.72 * side), (x + dx * 1.5, 0.98 * side), 0.09),
                ]
            ),
            "leg",
            (x, 0.3 * side),
            10,
        )
        for side in (-1, 1)
        for x, dx in ((0.36, 0.24), (0.0, -0.06), (-0.36, -0.24))
    ]
    feelers = [Part(_limb((0.80, 0.08 * side), (1.08, 0.36 * side), 0.07), "leg", (0.8, 0), 14) for side in (-1, 1)]
    parts = (
        *legs,
        *feelers,
        Part(ellipse(0.78, 0.0, 0.20, 0.24), "shade"),
        Part(ellipse(0.86, -0.13, 0.06, 0.06, corners=10), "eye"),
        Part(ellipse(0.86, 0.13, 0.06, 0.06, corners=10), "eye"),
        Part(ellipse(-0.10, 0.0, 0.80, 0.58)),
        Part(_polygon(*[(0.66 - 0.30 * abs(i / 6), 0.42 * i / 6) for i in range(-6, 7)]), "shade"),
    )
    return Body(parts, front=((0.08, 0.0),), rear=((-0.50, 0.0),))


def _butterfly() -> Body:
    wings = [Part(ellipse(0.40 * side, 0.36, 0.36, 0.42, -28 * side), "shade", (0, 0.1), 8) for side in (-1, 1)]
    wings += [Part(ellipse(0.52 * side, -0.34, 0.54, 0.40, -36 * side), "body", (0, 0), 8) for side in (-1, 1)]
    feelers = [Part(_limb((0.03 * side, -0.50), (0.24 * side, -0.94), 0.07), "leg", (0, -0.5), 10) for side in (-1, 1)]
    parts = (
        *wings,
        *feelers,
        Part(ellipse(0.0, 0.06, 0.10, 0.60), "leg"),
        Part(ellipse(0.0, -0.48, 0.13, 0.13, corners=12), "leg"),
    )
    return Body(parts, front=((-0.56, -0.36), (0.56, -0.36)), rear=((-0.42, 0.36), (0.42, 0.36)), mark_scale=0.9)


_BODIES = {
    "beetle": _beetle,
    "bird": _bird,
    "butterfly": _butterfly,
    "fish": _fish,
    "fox": _fox,
    "turtle": _turtle,
}


@cache
def body(name: str) -> Body:
    """The body plan of a coarse class: "beetle", "bird", "butterfly", "fish", "fox" or "turtle"."""
    return _BODIES[name]()


def _dot() -> tuple[Points, ...]:
    return (ellipse(0, 0, 0.86, 0.86, corners=18),)


def _ring() -> tuple[Points, ...]:
    outer, inner = ellipse(0, 0, 1.0, 1.0, corners=18), ellipse(0, 0, 0.5, 0.5, corners=18)
    return (np.concatenate([outer, outer[:1], inner[:1], inner[::-1]]),)


def _cross() -> tuple[Points, ...]:
    return _limb((-0.8, -0.8), (0.8, 0.8), 0.5), _limb((-0.8, 0.8), (0.8, -0.8), 0.5)


def _bars() -> tuple[Points, ...]:
    return _limb((-0.56, -1.0), (-0.56, 1.0), 0.5), _limb((0.56, -1.0), (0.56, 1.0), 0.5)


MARKS = {"dot": _dot(), "ring": _ring(), "cross": _cross(), "bars": _bars()}
"""The four marks, each as polygons (P, 2) within about one unit of the origin."""


def mark(name: str) -> tuple[Points, ...]:
    """The polygons of a mark, of about unit radius: "dot", "ring", "cross" or "bars"."""
    return MARKS[name]
