"""The examination as one HTML file: findings with pictures of the first cases, floors, methods and commands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from linnet.doctor.checkup import Checkup
from linnet.doctor.findings import Finding, Item, place
from linnet.images.decode import BrokenImageError, decode, open_image
from linnet.manifest import Manifest
from linnet.report.page import write_page

__all__ = ["check_page"]

_LISTED = 100
_CASES, _EACH = 24, 4
"""Cases of a finding that are shown in pictures, and pictures of a case."""
_SIDE = 200
_GROUND = 128


@dataclass(frozen=True)
class _Picture:
    pixels: NDArray[np.uint8]
    name: str
    told: str


@dataclass(frozen=True)
class _Case:
    says: str
    places: tuple[str, ...]
    pictures: tuple[_Picture, ...]


@dataclass(frozen=True)
class _Section:
    finding: Finding
    shown: tuple[_Case, ...]
    listed: tuple[_Case, ...]

    @property
    def more(self) -> int:
        """Cases that stand nowhere on the page."""
        return max(0, len(self.finding.items) - len(self.shown) - len(self.listed))


def check_page(checkup: Checkup, target: Path | str) -> int:
    """Write an examination as a page that is whole by itself, and return its size in bytes."""
    content = {
        "title": f"Check of {checkup.source}",
        "checkup": checkup,
        "counts": [checkup.summary(name) for name in ("error", "warning", "note")],
        "sections": [_section(checkup.manifest, each) for each in checkup.findings],
        "scored": checkup.scored or "all",
        "side": _SIDE,
    }
    return write_page("check.html.j2", content, target)


def _section(manifest: Manifest | None, found: Finding) -> _Section:
    """The first cases with pictures, where they have rows that can be decoded; further ones as lines."""
    shown = [] if manifest is None else [_case(manifest, item) for item in found.items[:_CASES] if item.rows]
    if not any(case.pictures for case in shown):
        shown = []
    rest = found.items[len(shown) :][:_LISTED]
    return _Section(found, tuple(shown), tuple(_Case(item.says, _places(manifest, item), ()) for item in rest))


def _places(manifest: Manifest | None, item: Item) -> tuple[str, ...]:
    return () if manifest is None else tuple(place(manifest, row) for row in item.rows[:_EACH])


def _case(manifest: Manifest, item: Item) -> _Case:
    return _Case(item.says, _places(manifest, item), tuple(_pictures(manifest, item)))


def _pictures(manifest: Manifest, item: Item) -> Iterator[_Picture]:
    """The images of a case, each with its split and its finest label; none of those that are broken."""
    for row in item.rows[:_EACH]:
        try:
            pixels = _square(manifest, row)
        except BrokenImageError:
            continue
        code, known = int(manifest.split_codes[row]), np.flatnonzero(manifest.targets[row] >= 0)
        label = manifest.taxonomy.classes[known[-1]][manifest.targets[row, known[-1]]] if len(known) else "no label"
        split = f"{manifest.split_names[code]}, " if code >= 0 else ""
        yield _Picture(pixels, str(manifest.images[row].as_py()), f"{split}{label}")


def _square(manifest: Manifest, row: int) -> NDArray[np.uint8]:
    """A whole image in the middle of a grey square, at most _SIDE pixels wide.

    Raises:
        BrokenImageError: it cannot be decoded.
    """
    if manifest.pixels is not None:
        image = Image.fromarray(manifest.pixels[row])
    else:
        opened = open_image(manifest.path(row))
        image = Image.fromarray(decode(opened, reduce=max(opened.size) / _SIDE))
    image.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    side = max(image.size)
    square = Image.new("RGB", (side, side), (_GROUND,) * 3)
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return np.asarray(square)
