"""Figures of documents, drawn without a display."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from linnet import files

__all__ = ["attention_figure"]

_CELL = 1.5  # inches


def _heat() -> ListedColormap:
    """Inferno that fades out towards 0, so that the image shows where nothing attends."""
    colours = colormaps["inferno"](np.linspace(0, 1, 256))
    colours[:, 3] = np.linspace(0, 0.9, 256)
    return ListedColormap(colours)


def attention_figure(
    images: NDArray[np.uint8], maps: Mapping[str, NDArray[np.floating]], target: Path | str, *, dpi: int = 150
) -> None:
    """Draw images beside what networks attend to: a row an image, a column a method (paper 001, Fig. 2).

    The maps are laid as heat over the greyed image, on one scale from 0 to 1 for all; the file's suffix
    chooses the format.

    Args:
        images: (n, H, W, 3).
        maps: name of the method to (n, H, W) in 0..1, at the images' size; columns in this order.
        target: the file to write, .png, .pdf or .svg.
        dpi: pixels an inch.

    Raises:
        ValueError: no image or no map, or a map does not fit the images or leaves 0..1.
    """
    if images.ndim != 4 or images.shape[-1] != 3 or not len(images) or not maps:
        raise ValueError(f"images {images.shape} and {len(maps)} maps; need (n, H, W, 3) and at least one of both")
    for name, one in maps.items():
        if one.shape != images.shape[:3] or not (one.min() >= 0 and one.max() <= 1):
            raise ValueError(f"map {name!r}, {one.shape}: need {images.shape[:3]} in 0..1, finite")
    count, height, width = images.shape[:3]
    columns = 1 + len(maps)
    size = (columns * _CELL + 0.8, count * _CELL * height / width + 0.35)
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    colours = _heat()
    axes = figure.subplots(count, columns, squeeze=False)
    for row in range(count):
        axes[row, 0].imshow(images[row], interpolation="nearest")
        grey = 255 - (255 - images[row].mean(-1)) * 0.6  # paler, so that the heat stands out
        for column, one in enumerate(maps.values(), start=1):
            axes[row, column].imshow(grey, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axes[row, column].imshow(one[row], cmap=colours, vmin=0, vmax=1)
    for axis, title in zip(axes[0], ["image", *maps], strict=True):
        axis.set_title(title, fontsize=10)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    bar = figure.colorbar(ScalarMappable(cmap=colours), ax=axes, fraction=0.05, aspect=30, pad=0.02)
    bar.set_label("attention / its maximum in the image", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    with files.atomic_path(target) as aside:
        figure.savefig(aside, dpi=dpi)
