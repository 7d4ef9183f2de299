"""Maps over images as one HTML file: no network, no script, light and dark, for a phone as for a desk."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from linnet import files
from linnet.explain.maps import Answer
from linnet.explain.pictures import View
from linnet.report.overlay import overlay

__all__ = ["MOST_BYTES", "explain_page"]

MOST_BYTES = 9_500_000
"""A page is small enough for a mail; its pictures shrink to that."""

_BYTES_A_PIXEL = 0.4
"""What photos take as JPEG of this quality, base64 counted."""

_STYLE = """
:root { color-scheme: light dark; --ground: #fff; --card: #f4f4f1; --text: #1c1c1a; --quiet: #5c5c57;
  --line: #dcdcd6; --right: #1a6b3c; --wrong: #a33418; }
@media (prefers-color-scheme: dark) { :root { --ground: #151514; --card: #20201e; --text: #ececea;
  --quiet: #a5a59f; --line: #373733; --right: #6fce96; --wrong: #ff9b80; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 84rem; padding: 1rem; background: var(--ground); color: var(--text);
  font: 16px/1.45 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.35rem; margin: 0 0 .25rem; } h2 { font-size: 1rem; margin: 0; } h3 { font-size: .85rem;
  font-weight: 600; color: var(--quiet); margin: .75rem 0 .4rem; }
p { margin: .25rem 0; } .quiet { color: var(--quiet); font-size: .875rem; }
.scale { display: flex; align-items: center; gap: .5rem; margin: .75rem 0 1rem; font-size: .8rem;
  color: var(--quiet); white-space: nowrap; } .scale img { width: min(14rem, 35vw); height: .8rem; border-radius: 2px; }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(36rem, 100%), 1fr)); gap: 1rem; }
article { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: .8rem; }
.right { color: var(--right); } .wrong { color: var(--wrong); }
.row { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(11rem, 45%), 1fr)); gap: .6rem; }
figure { margin: 0; max-width: 20rem; } figure img { display: block; width: 100%; height: auto; border-radius: 4px; }
figcaption { font-size: .8rem; line-height: 1.3; margin-top: .25rem; } figcaption b { display: block;
  color: var(--quiet); font-weight: 500; }
"""

_HEAD = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title><style>{style}</style></head><body>
"""


def explain_page(
    title: str, about: Sequence[str], names: Sequence[str], truths: Sequence[str], views: Sequence[View], target: Path
) -> int:
    """Write what runs make of images as a page that is whole by itself.

    Args:
        title: its heading.
        about: lines below it.
        names: of n images.
        truths: their known classes, blank where there is none.
        views: what each run makes of them.
        target: the file to write, .html.

    Returns:
        Its size in bytes.
    """
    pictures = len(names) * sum(1 + len(view.columns) for view in views)
    side = min(views[0].pixels.shape[1], int(math.sqrt(MOST_BYTES / _BYTES_A_PIXEL / pictures)))
    head = [_HEAD.format(title=escape(title), style=_STYLE), f"<header><h1>{escape(title)}</h1>"]
    head += [*(f'<p class="quiet">{escape(line)}</p>' for line in about), _scale(), "</header><main>"]
    while True:
        articles = [
            "\n".join(_article(number, name, truth, views, side))
            for number, (name, truth) in enumerate(zip(names, truths, strict=True))
        ]
        text = "\n".join([*head, *articles, "</main></body></html>\n"])
        size = len(text.encode())
        if size <= MOST_BYTES or side <= 32:
            files.write_text(target, text)
            return size
        side = int(side * min(0.9, math.sqrt(MOST_BYTES / size)))


def _scale() -> str:
    """The colours and what they mean."""
    grey = np.full((8, 256, 3), 150, np.uint8)
    strip = overlay(grey, np.tile(np.linspace(0, 1, 256), (8, 1)))
    return (
        f'<div class="scale"><span>none</span><img alt="colour scale from dark to bright" src="{_embedded(strip)}">'
        "<span>strongest of the map</span></div>"
    )


def _article(number: int, name: str, truth: str, views: Sequence[View], side: int) -> Iterator[str]:
    """One image: its name and true class, what each run says of it, and its pictures."""
    known = f' <span class="quiet">labelled {escape(truth)}</span>' if truth else ""
    yield f"<article><h2>{escape(name)}{known}</h2>"
    for view in views:
        if len(views) > 1:
            yield f"<h3>{escape(view.name)}</h3>"
        yield f"<p>{', '.join(map(_answer, view.answers[number]))}</p>" if view.answers[number] else ""
        yield '<div class="row">'
        yield _figure(view.pixels[number], "image", "", side)
        for column in view.columns:
            laid = overlay(view.pixels[number], column.heat[number])
            yield _figure(laid, column.name, " ".join(column.told(number)), side)
        yield "</div>"
    yield "</article>"


def _answer(answer: Answer) -> str:
    """An answer, and in words whether it is right: colour alone would not reach every reader."""
    told = f"{escape(answer.level)}: {escape(str(answer))}"
    if answer.right is None:
        return told
    word = "right" if answer.right else "wrong"
    return f'{told} <span class="{word}">({word})</span>'


def _figure(pixels: NDArray[np.uint8], name: str, told: str, side: int) -> str:
    alternative = escape(f"{name}, {told}" if told else name)
    return (
        f'<figure><img alt="{alternative}" width="{side}" height="{side}" src="{_embedded(pixels, side)}">'
        f"<figcaption><b>{escape(name)}</b>{escape(told)}</figcaption></figure>"
    )


def _embedded(pixels: NDArray[np.uint8], side: int | None = None) -> str:
    """A picture as a data address, JPEG, scaled to `side`."""
    scaled, stream = Image.fromarray(pixels), io.BytesIO()
    if side is not None and scaled.width != side:
        scaled = scaled.resize((side, side), Image.Resampling.LANCZOS)
    scaled.save(stream, "JPEG", quality=82, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"
