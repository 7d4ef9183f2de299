"""Overlays, and the figure and the page of `linnet explain`: whole, the same each time, and open to every reader."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from linnet.explain.maps import Answer
from linnet.explain.pictures import Column, View
from linnet.randomness import generator
from linnet.report.explain_figure import MOST_ROWS, explain_figure
from linnet.report.explain_page import explain_page
from linnet.report.overlay import overlay
from tests.report.reader import assert_whole, read_page

PIXELS = generator(0, "pixels").integers(0, 256, (2, 40, 40, 3), dtype=np.uint8)
HEAT = np.linspace(0, 1, 2 * 40 * 40, dtype=np.float32).reshape(2, 40, 40)
WREN = Answer("fine", 'Wren <"&', 0.875, True)


def drawn(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def view(name: str, columns: int, count: int = 2) -> View:
    heat, pixels = np.resize(HEAT, (count, 40, 40)), np.resize(PIXELS, (count, 40, 40, 3))
    made = [
        Column(f"member {number}", heat, [WREN, None] * (count // 2), [1.0, 0.25] * (count // 2))
        for number in range(columns)
    ]
    return View(name, pixels, made, [[WREN], [Answer("coarse", "Tern", 0.5, False)]] * (count // 2))


def test_heat_is_lighter_the_stronger_it_is_and_fades_to_grey() -> None:
    pixels = np.full((1, 256, 3), 120, np.uint8)
    laid = overlay(pixels, np.linspace(0, 1, 256)[None]).astype(int)
    assert len(set(laid[0, 0].tolist())) == 1, "no colour where there is no heat"
    light = laid[0] @ [0.2126, 0.7152, 0.0722]
    assert light[-1] > light[128] and light[-1] > light[0]
    with pytest.raises(ValueError, match="heat"):
        overlay(pixels, np.full((1, 256), 1.1))
    with pytest.raises(ValueError, match="heat"):
        overlay(pixels, np.zeros((2, 2)))


def test_figure_repeats_and_has_a_column_a_map(tmp_path: Path) -> None:
    views = [view("one", 2), view("two", 1)]
    for name in ("a.png", "b.png", "c.pdf"):
        explain_figure(["x.jpg", "y.jpg"], ["Wren", ""], views, tmp_path / name, dpi=40)
    one, two = (drawn(tmp_path / name) for name in ("a.png", "b.png"))
    assert np.array_equal(one, two)
    explain_figure(["x.jpg", "y.jpg"], ["", ""], views[:1], tmp_path / "narrow.png", dpi=40)
    assert drawn(tmp_path / "narrow.png").shape[1] < one.shape[1]
    with pytest.raises(ValueError, match=f"1 to {MOST_ROWS}"):
        explain_figure([], [], views, tmp_path / "none.png")


def test_what_stands_below_a_map() -> None:
    column = Column("x", HEAT, [WREN, None, WREN, None], [2.0, 0.25, 0.0, 0.0])
    assert [column.told(place) for place in range(4)] == [
        ['Wren <"&', "88 %"],
        ["up to 0.25"],
        ['Wren <"&', "88 % (no place speaks for it)"],
        ["(0 everywhere)"],
    ]


def test_page_is_whole_by_itself(tmp_path: Path) -> None:
    target = tmp_path / "page.html"
    names = ["a<b>.jpg", "y.jpg"]
    size = explain_page("Grad-CAM & co", ["one run"], names, ["Wren", ""], [view("one", 2), view("two", 1)], target)
    text = target.read_text()
    assert len(text.encode()) == size
    page = read_page(target)
    assert_whole(page)
    pictures = page.of("img")
    assert len(pictures) == 1 + 2 * (3 + 2)
    assert all(str(each["src"]).startswith("data:image/jpeg;base64,") for each in pictures)
    assert "a&lt;b&gt;.jpg" in text and "Wren &lt;&#34;&amp; 88 %" in text and "(wrong)" in text


def test_a_page_keeps_below_its_limit(tmp_path: Path) -> None:
    """Noise is the hardest picture to compress: its pictures shrink until it fits."""
    noise = generator(1, "noise").integers(0, 256, (3, 128, 128, 3), dtype=np.uint8)
    made = View("one", noise, [Column("map", np.zeros((3, 128, 128), np.float32), [None] * 3, [0.0] * 3)], [[]] * 3)
    sizes = []
    for most in (9_500_000, 60_000, 30_000):
        sizes.append(explain_page("x", [], ["a", "b", "c"], [""] * 3, [made], tmp_path / "page.html", most=most))
        assert sizes[-1] <= most
    assert sizes[0] > 60_000 and sizes[1] > 30_000
