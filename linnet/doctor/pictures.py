"""Findings on single images: what cannot be read, and what is of an odd size or shows nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linnet.doctor.findings import Code, Finding, Item, Severity, finding
from linnet.doctor.looks import LOOK
from linnet.doctor.scan import Scan

__all__ = ["HUGE", "LONG", "TINY", "picture_findings"]

HUGE = 40_000_000
"""Pixels from which on an image is huge."""
TINY = 24
"""Shorter side, pixels, below which an image is tiny."""
LONG = 5.0
"""Longer side over shorter side from which on an image is long."""

_TAKE_OUT = "Mend or replace them, or take their rows out; training refuses to begin with them."
_BROKEN: tuple[tuple[Code, str, str, Callable[[str], bool]], ...] = (
    (
        Code.MISSING_FILE,
        "files that are not there: {n}",
        "Correct the paths, or give --root.",
        lambda r: r == "no such file",
    ),
    (Code.EMPTY_FILE, "empty files: {n}", _TAKE_OUT, lambda r: "is empty" in r),
    (Code.NOT_AN_IMAGE, "files that are no image in a known format: {n}", _TAKE_OUT, lambda r: "known format" in r),
    (Code.TRUNCATED_IMAGE, "truncated images: {n}", _TAKE_OUT, lambda r: "truncated" in r.lower()),
    (Code.BOMB, "images of more pixels than are read: {n}", "Scale them down.", lambda r: "decompression bomb" in r),
    (Code.DAMAGED_IMAGE, "damaged images: {n}", _TAKE_OUT, lambda r: True),
)
"""Code, title, advice, and which reasons of a decoder are meant; the first that fits counts."""


def picture_findings(scan: Scan) -> list[Finding]:
    """What is wrong with single images."""
    return _broken(scan) + _odd(scan)


def _broken(scan: Scan) -> list[Finding]:
    kinds: dict[Code, list[Item]] = defaultdict(list)
    for row, reason in sorted(scan.broken.items()):
        code = next(code for code, _, _, fits in _BROKEN if fits(reason))
        kinds[code].append(Item(reason, (row,)))
    return [
        each for code, title, advice, _ in _BROKEN for each in finding(code, Severity.ERROR, title, advice, kinds[code])
    ]


def _odd(scan: Scan) -> list[Finding]:
    whole = scan.whole
    widths, heights = scan.widths.astype(np.int64), scan.heights.astype(np.int64)
    short, long = np.minimum(widths, heights), np.maximum(widths, heights)
    times = long / np.maximum(short, 1)

    def items(mask: NDArray[np.bool_], by: NDArray[Any], ratio: bool = False) -> list[Item]:
        rows = np.flatnonzero(mask & whole)
        rows = rows[np.argsort(by[rows], kind="stable")]
        return [
            Item(f"{widths[row]} x {heights[row]} pixels" + f": a square is 1/{times[row]:,.0f} of it" * ratio, (row,))
            for row in rows.tolist()
        ]

    return [
        *finding(
            Code.SEVERAL_FRAMES,
            Severity.WARNING,
            "animated images, or files of several pages: {n}",
            "Only the first frame is used; save it as an image of its own, or take these out.",
            [Item("", (row,)) for row in np.flatnonzero(scan.several & whole).tolist()],
        ),
        *finding(
            Code.HUGE_IMAGE,
            Severity.WARNING,
            f"images of {HUGE // 1_000_000} million pixels or more: {{n}}",
            "Scale them down: decoding them in every epoch is slow.",
            items(widths * heights >= HUGE, -(widths * heights)),
        ),
        *finding(
            Code.TINY_IMAGE,
            Severity.WARNING,
            f"images less than {TINY} pixels high or wide: {{n}}",
            "Are they thumbnails? Replace them by the pictures themselves.",
            items(short < TINY, short),
        ),
        *finding(
            Code.LONG_IMAGE,
            Severity.NOTE,
            f"images at least {LONG:g} times as long as wide: {{n}}",
            "A net sees a square from the centre; cut out by hand what matters.",
            items(times >= LONG, -times, ratio=True),
        ),
        *finding(
            Code.BLANK_IMAGE,
            Severity.WARNING,
            "images of one even tone, that show nothing: {n}",
            "Take them out, or replace them.",
            [Item("", (row,)) for row in np.flatnonzero(whole & _even(scan.looks)).tolist()],
        ),
    ]


def _even(looks: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Looks (n, LOOK) whose greys and colours span no more than one level."""
    parts = [looks[:, : LOOK - 48], *(looks[:, LOOK - 48 + colour :: 3] for colour in range(3))]
    even = np.ones(len(looks), np.bool_)
    for part in parts:
        even &= np.ptp(part, axis=1) <= 1
    return even
