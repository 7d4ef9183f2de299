"""Draws one creature in a scene: pose, scale, place, light and clutter vary by image, body plan and mark do
not.

Everything is drawn as polygons with Pillow on a canvas some times larger, then averaged down, which
antialiases it. The constants below set the difficulty. What is drawn depends on the generator alone, so a
creature looks the same at every size.
"""

from __future__ import annotations

from colorsys import hsv_to_rgb
from math import cos, pi, radians, sin

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from linnet.datasets.shapes import MARKS, Body, Points, body, ellipse

__all__ = [
    "BODY_HUES",
    "CLUTTER",
    "MARK_COLOURS",
    "MARK_RADIUS",
    "NOISE",
    "SCALE",
    "SHIFT",
    "TURN",
    "draw_creature",
    "knobs",
]

SCALE = (0.78, 1.0)
"""Range of a creature's size; 1 fills about 84 % of the image's width."""
TURN = 12.0
"""A creature is turned by up to this many degrees either way."""
SHIFT = 0.08
"""A creature's centre lies up to this fraction of the image's width off the middle, each way."""
MARK_RADIUS = 0.25
"""Radius of the fine class's mark, where a creature is two units long: about 5 pixels in a 48-pixel image."""
MARK_COLOURS = {"dark": (0.07, 0.05, 0.09), "light": (0.97, 0.95, 0.88)}
"""Red, green, blue of the two mark colours, 0 to 1."""
BODY_HUES = (0.05, 0.15)
"""Range of the body's hue, drawn anew for every image: narrower is easier to search within."""
CLUTTER = (0, 2)
"""Least and most distractors (pebbles, leaves, and marks that sit on no creature) in the background."""
NOISE = 3.0
"""Standard deviation of the grain, in steps of 1/255."""

Colour = tuple[int, int, int]


def knobs() -> dict[str, str]:
    """The constants above as text, by name: a written folder records what it was drawn with."""
    return {name: repr(value) for name, value in globals().items() if name in __all__ and name.isupper()}


def draw_creature(
    coarse: str, mark: str, colour: str, place: str, rng: np.random.Generator, size: int
) -> NDArray[np.uint8]:
    """Draw one image of a fine class.

    Args:
        coarse: the body plan, a name that `shapes.body` knows.
        mark: "dot", "ring", "cross" or "bars".
        colour: "dark" or "light".
        place: "front" or "rear".
        rng: the image's own generator.
        size: height and width in pixels.

    Returns:
        uint8 (size, size, 3), RGB.
    """
    sharpness = 4 if size <= 64 else 3 if size <= 128 else 2
    canvas = size * sharpness
    plan = body(coarse)
    scene, is_light = _background(rng, canvas)
    draw = ImageDraw.Draw(scene)
    _clutter(draw, rng, canvas)
    transform, points = _pose(plan, rng, canvas)
    palette = _palette(rng, is_light)
    line = max(1, round(canvas / 110))
    for part, corners in zip(plan.parts, points, strict=True):
        outline = palette["outline"] if part.role in ("body", "shade", "tint") else None
        draw.polygon(corners, fill=palette[part.role], outline=outline, width=line)
    _draw_mark(draw, plan, mark, _byte(MARK_COLOURS[colour]), place, transform, rng)
    return _light(np.asarray(scene.reduce(sharpness)), rng)


def _byte(colour: tuple[float, float, float]) -> Colour:
    return round(colour[0] * 255), round(colour[1] * 255), round(colour[2] * 255)


def _background(rng: np.random.Generator, canvas: int) -> tuple[Image.Image, bool]:
    """Soft blotches around one muted colour, fading downwards; True when lighter than bodies, else darker."""
    light = rng.random() < 0.6
    value = rng.uniform(0.78, 0.95) if light else rng.uniform(0.16, 0.30)
    base = np.array(hsv_to_rgb(rng.random(), rng.uniform(0.08, 0.32), value))
    blotches = (rng.normal(0.0, 0.035, (7, 7, 3)) + rng.normal(0.0, 0.04, (7, 7, 1))) * (0.4 + 0.6 * value)
    fade = np.linspace(0.06, -0.06, 7).reshape(7, 1, 1) * rng.uniform(0.0, 1.0)
    small = np.clip((base + blotches + fade) * 255, 0, 255).astype(np.uint8)
    return Image.fromarray(small).resize((canvas, canvas), Image.Resampling.BICUBIC), light


def _clutter(draw: ImageDraw.ImageDraw, rng: np.random.Generator, canvas: int) -> None:
    """Pebbles, leaves, and marks like those of the creatures, anywhere: a mark alone says nothing."""
    names = list(MARKS)
    for _ in range(rng.integers(CLUTTER[0], CLUTTER[1] + 1)):
        kind, x, y, grow, angle, hue, saturation, value = rng.random(8)
        radius = canvas * 0.42 * MARK_RADIUS * (0.5 + 0.8 * grow)
        shapes: tuple[Points, ...]
        if kind < 0.5:
            shapes = MARKS[names[int(kind * 2 * len(names))]]
        else:
            shapes = (ellipse(0, 0, 1.3, 0.5 if kind < 0.75 else 1.0, corners=12),)
        fill = _byte(hsv_to_rgb(hue, 0.5 * saturation, 0.1 + 0.85 * value))
        turned = _matrix(radius, angle * 2 * pi, flip=False)
        for shape in shapes:
            draw.polygon((shape @ turned + (x * canvas, y * canvas)).ravel().tolist(), fill=fill)


def _matrix(scale: float, angle: float, flip: bool) -> Points:
    """(2, 2) for row vectors: mirror left to right when `flip`, turn by `angle` radians, and scale."""
    c, s = scale * cos(angle), scale * sin(angle)
    mirror = -1.0 if flip else 1.0
    return np.array([[mirror * c, mirror * s], [-s, c]])


def _pose(plan: Body, rng: np.random.Generator, canvas: int) -> tuple[tuple[Points, Points], list[list[float]]]:
    """The transform (matrix (2, 2), offset (2,)) from body to canvas, and each part's corners there."""
    scale, angle, flip, x, y = rng.random(5)
    stretch = np.diag(1.0 + rng.uniform(-0.06, 0.06, 2))
    size = canvas * 0.42 * (SCALE[0] + (SCALE[1] - SCALE[0]) * scale)
    matrix = stretch @ _matrix(size, radians(TURN) * (2 * angle - 1), flip=bool(flip < 0.5))
    offset = canvas * (0.5 + SHIFT * (2 * np.array([x, y]) - 1))
    swings = rng.uniform(-1.0, 1.0, len(plan.parts))
    corners = []
    for part, swing in zip(plan.parts, swings, strict=True):
        points = part.points
        if part.swing:
            points = (points - part.joint) @ _matrix(1.0, radians(part.swing) * swing, flip=False) + part.joint
        corners.append((points @ matrix + offset).ravel().tolist())
    return (matrix, offset), corners


def _palette(rng: np.random.Generator, on_light: bool) -> dict[str, Colour]:
    """One creature's colours by role: a body of middle lightness, on which dark and light marks both show."""
    hue = BODY_HUES[0] + (BODY_HUES[1] - BODY_HUES[0]) * rng.random()
    base = np.array(hsv_to_rgb(hue % 1.0, rng.uniform(0.32, 0.68), rng.uniform(0.60, 0.80)))
    grey = base @ np.array([0.30, 0.59, 0.11])
    base = np.clip(base * (0.50 / grey) ** 0.6, 0, 0.92)  # evens out how bright the hues look
    horn = np.array(hsv_to_rgb(rng.uniform(0.06, 0.12), 0.75, rng.uniform(0.75, 0.95)))
    leg = base * 0.35 if on_light else base * 0.55 + 0.20
    shades = {
        "body": base,
        "shade": base * 0.74,
        "tint": base * 0.55 + 0.40,
        "outline": base * 0.38,
        "leg": leg,
    }
    fixed = {"horn": horn, "eye": np.full(3, 0.97), "pupil": np.full(3, 0.06)}
    return {role: _byte((c[0], c[1], c[2])) for role, c in (shades | fixed).items()}


def _draw_mark(
    draw: ImageDraw.ImageDraw,
    plan: Body,
    mark: str,
    fill: Colour,
    place: str,
    transform: tuple[Points, Points],
    rng: np.random.Generator,
) -> None:
    """The fine class's mark, moving with the body, with a little freedom of its own."""
    matrix, offset = transform
    turn, grow = rng.uniform(-0.22, 0.22), rng.uniform(0.9, 1.1)
    own = _matrix(MARK_RADIUS * plan.mark_scale * grow, turn, flip=False)
    for centre in plan.front if place == "front" else plan.rear:
        for shape in MARKS[mark]:
            draw.polygon(((shape @ own + centre) @ matrix + offset).ravel().tolist(), fill=fill)


def _light(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Brightness, a colour cast, a gradient across the image, and grain; uint8 (H, W, 3) to the same."""
    size = image.shape[0]
    brightness = rng.uniform(0.78, 1.12)
    cast = (1.0 + rng.uniform(-0.07, 0.07, 3)) * brightness
    angle, strength = rng.uniform(0, 2 * pi), rng.uniform(0.0, 0.22)
    axis = np.linspace(-1.0, 1.0, size, dtype=np.float32)
    slope = 1.0 + strength * (cos(angle) * axis[:, None] + sin(angle) * axis[None, :])
    lit = image * slope[:, :, None] * cast.astype(np.float32)
    lit += rng.standard_normal((size, size, 1), dtype=np.float32) * np.float32(NOISE)
    return np.clip(lit + 0.5, 0, 255).astype(np.uint8)
