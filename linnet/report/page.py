"""A page that is one file: templates with autoescape, pictures embedded and shrunk until the page is small enough."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from numpy.typing import NDArray
from PIL import Image

from linnet import files
from linnet.errors import RunError
from linnet.report.overlay import overlay

__all__ = ["MOST_BYTES", "Album", "render", "templates", "write_page"]

MOST_BYTES = 9_500_000
"""A page is small enough for a mail; its pictures shrink to that, and a page that cannot is not written."""

_LEAST_FACTOR = 0.05
_SMALL = 64
"""Pictures up to this many pixels wide are kept sharp: every one of their pixels is seen."""


class Album:
    """Pictures as data addresses, all scaled by one factor (0 to 1)."""

    def __init__(self, factor: float = 1.0) -> None:
        self.factor = factor

    def side(self, pixels: NDArray[np.uint8], most: int) -> int:
        """The side at which a square picture (S, S, 3) is embedded that need not be larger than `most`."""
        return int(max(8, round(min(pixels.shape[1], most) * self.factor)))

    def address(self, pixels: NDArray[np.uint8], most: int) -> str:
        """A square picture (S, S, 3) as JPEG in a data address."""
        image, side = Image.fromarray(pixels), self.side(pixels, most)
        if image.width != side:
            image = image.resize((side, side), Image.Resampling.LANCZOS)
        return _address(image, sharp=side <= _SMALL)

    def small(self, pixels: NDArray[np.uint8]) -> bool:
        """Whether a picture has so few pixels that a reader enlarges it best without smoothing."""
        return bool(pixels.shape[1] <= _SMALL)


def _address(shown: Image.Image, *, sharp: bool = False) -> str:
    stream = io.BytesIO()
    quality = {"quality": 90, "subsampling": 0} if sharp else {"quality": 82}
    shown.save(stream, "JPEG", optimize=True, **quality)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"


@cache
def _scale() -> str:
    """The colours of heat from none to the strongest, as a strip."""
    grey = np.full((8, 256, 3), 150, np.uint8)
    return _address(Image.fromarray(overlay(grey, np.tile(np.linspace(0, 1, 256), (8, 1)))))


@cache
def templates() -> Environment:
    """The templates of pages: everything put into them is escaped, and a name that is not there is an error."""
    found = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals["overlay"] = overlay
    found.globals["heat_scale"] = _scale
    return found


def render(template: str, content: Mapping[str, Any], album: Album) -> str:
    """A template's text with its content; pictures are embedded through `album`."""
    return templates().get_template(template).render(**content, album=album)


def write_page(template: str, content: Mapping[str, Any], target: Path | str, most: int = MOST_BYTES) -> int:
    """Write a page, its pictures as large as `most` bytes allow.

    Args:
        template: its name in `templates/`.
        content: what the template asks for by name.
        target: the file to write.
        most: bytes of the whole page.

    Returns:
        Its size in bytes.

    Raises:
        RunError: it is larger even with the smallest pictures; nothing is written.
    """
    factor = 1.0
    while True:
        text = render(template, content, Album(factor))
        size = len(text.encode())
        if size <= most:
            files.write_text(target, text)
            return size
        if factor <= _LEAST_FACTOR:
            raise RunError(
                f"{target}: {size / 1e6:.1f} MB with the smallest pictures, and a page is to stay below "
                f"{most / 1e6:.1f} MB; show fewer runs, classes or images on it"
            )
        factor = max(_LEAST_FACTOR, factor * min(0.9, math.sqrt(most / size)))
