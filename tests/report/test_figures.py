"""The attention figure: drawn without a display, written whole, the same for the same input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from linnet.report.figures import attention_figure

IMAGES = np.full((2, 16, 16, 3), 255, dtype=np.uint8)
MAPS = {"Base": np.linspace(0, 1, 512).reshape(2, 16, 16), "Fine": np.zeros((2, 16, 16))}


def test_figure_is_written_and_repeats(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.svg"):
        attention_figure(IMAGES, MAPS, tmp_path / "new" / name, dpi=50)
    one, two = (np.asarray(Image.open(tmp_path / "new" / name)) for name in ("a.png", "b.png"))
    assert one.shape[1] > one.shape[0] > 50
    assert np.array_equal(one, two)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["a.png", "b.png", "c.svg"]


@pytest.mark.parametrize(
    ("images", "maps", "message"),
    [
        (IMAGES[0], MAPS, "images"),
        (IMAGES, {}, "0 maps"),
        (IMAGES, {"Base": np.zeros((2, 8, 8))}, "map 'Base'"),
        (IMAGES, {"Base": np.full((2, 16, 16), 1.5)}, "map 'Base'"),
        (IMAGES, {"Base": np.full((2, 16, 16), np.nan)}, "map 'Base'"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, images: np.ndarray, maps: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        attention_figure(images, maps, tmp_path / "x.png")
    assert not list(tmp_path.iterdir())
