"""Maps over images as one picture: a row an image, a column a map (paper 004, Fig. 5; paper 000, Fig. 7)."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from linnet.explain.pictures import View
from linnet.report.figures import save_figure
from linnet.report.overlay import heat_colours, overlay

__all__ = ["MOST_ROWS", "explain_figure"]

_CELL = 1.7  # inches
_LINE = 24  # letters that fit a cell
MOST_ROWS = 40
"""Images in one figure; a page takes more."""


def explain_figure(
    names: Sequence[str], truths: Sequence[str], views: Sequence[View], target: Path | str, *, dpi: int = 150
) -> None:
    """Draw the runs' maps side by side over the images, each with the class it is of and its probability.

    Args:
        names: of n images.
        truths: their known classes, blank where there is none.
        views: what each run makes of them; their columns in this order, below the run's name where there are several.
        target: the file to write, .png, .pdf or .svg.
        dpi: pixels an inch.

    Raises:
        ValueError: more images than a figure takes, or none.
    """
    if not 0 < len(names) <= MOST_ROWS:
        raise ValueError(f"{len(names)} images; a figure takes 1 to {MOST_ROWS}")
    columns = 1 + sum(len(view.columns) for view in views)
    figure = Figure(figsize=(columns * _CELL + 0.7, len(names) * (_CELL + 0.27) + 0.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(names), columns, squeeze=False)
    for row, (name, truth) in enumerate(zip(names, truths, strict=True)):
        axes[row, 0].imshow(views[0].pixels[row])
        _caption(axes[row, 0], [truth or name, "" if truth == name else name] if truth else [name])
        at = 1
        for view in views:
            for column in view.columns:
                axes[row, at].imshow(overlay(view.pixels[row], column.heat[row]))
                _caption(axes[row, at], column.told(row))
                at += 1
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
        axis.spines[:].set_visible(False)
    _head(axes[0], views)
    bar = figure.colorbar(ScalarMappable(cmap=heat_colours(0.7)), ax=axes, fraction=0.02, aspect=40, pad=0.02)
    bar.set_label("strength / its maximum in the map", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    save_figure(figure, target, dpi)


def _caption(axis: Axes, lines: Sequence[str]) -> None:
    """Up to two short lines below a picture."""
    shown = [textwrap.shorten(line, _LINE, placeholder=" ...") or line[:_LINE] for line in lines if line]
    axis.set_xlabel("\n".join(shown), fontsize=7.5, labelpad=2)


def _head(axes: Sequence[Axes], views: Sequence[View]) -> None:
    """Headings over the first row: the map's, and above it the run's where there are several."""
    axes[0].set_title("image", fontsize=9)
    at = 1
    for view in views:
        if len(views) > 1:
            told = textwrap.shorten(view.name, _LINE * len(view.columns), placeholder=" ...")
            run = axes[at].annotate(told, (0, 1), (0, 18), "axes fraction", "offset points", size=9, weight="bold")
            run.set_in_layout(False)  # it may reach over its columns without pushing them apart
        for column in view.columns:
            axes[at].set_title("\n" * (len(views) > 1) + column.name, fontsize=9)
            at += 1
