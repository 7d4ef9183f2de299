"""Figures of documents, drawn without a display."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from numpy.typing import NDArray

from linnet import files
from linnet.metrics.units import unit
from linnet.report.curves import Curves
from linnet.report.labels import NAMES, heading
from linnet.report.overlay import heat_colours
from linnet.report.results import half_interval

__all__ = ["attention_figure", "curve_figure", "save_figure"]

_CELL = 1.5  # inches
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe & Ito: told apart by all eyes
_MARKERS = ("o", "s", "^", "D", "v", "P")


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
    colours = heat_colours()
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
    save_figure(figure, target, dpi)


def curve_figure(curves: Curves, target: Path | str, *, title: str = "", dpi: int = 150) -> None:
    """Draw a metric over the share of images with a fine label: a line a method, half the 95 % t-interval as bars.

    A method with a single point is a level line: an oracle, say, that has all labels whatever the others have. What
    chance scores is dotted. The same results give the same bytes; the file's suffix chooses the format.

    Args:
        curves: what to draw.
        target: the file to write, .png, .pdf or .svg.
        title: above the axes.
        dpi: pixels an inch.
    """
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for number, (row, points) in enumerate(curves.rows.items()):
        colour, marker = _COLOURS[number % len(_COLOURS)], _MARKERS[number % len(_MARKERS)]
        name = NAMES.get(row, row)
        if len(points) == 1:
            only = next(iter(points.values()))
            axes.axhline(only.mean, color=colour, linestyle="--", linewidth=1.5, label=name)
            half = half_interval(only.values) or 0.0
            axes.axhspan(only.mean - half, only.mean + half, color=colour, alpha=0.15, linewidth=0)
            continue
        halves = [half_interval(result.values) or 0.0 for result in points.values()]
        means = [result.mean for result in points.values()]
        axes.errorbar(list(points), means, halves, label=name, color=colour, marker=marker, markersize=5, capsize=3)
    if curves.floor is not None:
        axes.axhline(curves.floor, color="0.4", linestyle=":", linewidth=1.2, label="Chance")
    axes.set_xscale("log")
    drawn = [share for points in curves.rows.values() if len(points) > 1 for share in points]
    axes.set_xticks(sorted(set(drawn)), [f"{share:g}" for share in sorted(set(drawn))])
    axes.minorticks_off()
    axes.set_xlabel("images with a fine label, %")
    axes.set_ylabel(heading(curves.metric) + ", %" * (unit(curves.metric) == "%"))
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.3)
    figure.legend(fontsize=8, loc="outside lower center", ncols=3)
    save_figure(figure, target, dpi)


def save_figure(figure: Figure, target: Path | str, dpi: int) -> None:
    """Write it whole; without a date, and with the same names inside each time, so that the bytes repeat."""
    undated = {".svg": "Date", ".pdf": "CreationDate"}.get(Path(target).suffix.lower())
    with files.atomic_path(target) as aside, rc_context({"svg.hashsalt": "linnet"}):
        figure.savefig(aside, dpi=dpi, metadata={undated: None} if undated else None)
