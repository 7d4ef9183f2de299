"""The figure of projections: drawn for any labels, the same each time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from linnet.explain.projection import Projection
from linnet.randomness import generator
from linnet.report.projection_figure import Labelled, projection_figure


def drawn_pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_figure_repeats_with_unknown_labels_and_many_classes(tmp_path: Path) -> None:
    draw = generator(0, "points")
    coarse, fine = draw.integers(-1, 12, 80), draw.integers(-1, 30, 80)
    labelled = Labelled(coarse, fine, [f"c{n}" for n in range(12)], [f"f{n}" for n in range(30)], [2, 11, 3])
    drawn = [(name, Projection(draw.normal(size=(80, 2)), "t-SNE", 0.9)) for name in ("before", "after")]
    for name in ("a.png", "b.png"):
        projection_figure(drawn, labelled, tmp_path / name, dpi=50)
    one, two = (drawn_pixels(tmp_path / name) for name in ("a.png", "b.png"))
    assert np.array_equal(one, two)
    projection_figure(drawn[:1], labelled, tmp_path / "one.png", dpi=50)
    assert drawn_pixels(tmp_path / "one.png").shape[0] < one.shape[0]
