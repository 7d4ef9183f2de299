"""Embeddings in the plane, coloured by coarse class, and a few coarse classes by fine class (paper 000, Fig. 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from linnet.explain.projection import Projection
from linnet.report.figures import save_figure

__all__ = ["Labelled", "projection_figure"]

_MARKERS = "os^DvP*X"
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe & Ito
_SIDE = 4.4  # inches


@dataclass(frozen=True)
class Labelled:
    """Classes of n points.

    Attributes:
        coarse, fine: class numbers (n,), -1 unknown.
        coarse_names, fine_names: by number, as a reader writes them.
        chosen: the coarse classes whose fine classes are told apart.
    """

    coarse: NDArray[np.int64]
    fine: NDArray[np.int64]
    coarse_names: Sequence[str]
    fine_names: Sequence[str]
    chosen: Sequence[int]


def projection_figure(
    projections: Sequence[tuple[str, Projection]], labelled: Labelled, target: Path | str, *, dpi: int = 150
) -> None:
    """Draw each projection twice, a row each: by coarse class, and the chosen ones' fine classes.

    Args:
        projections: a heading and the points of the same n images.
        labelled: their classes.
        target: the file to write, .png, .pdf or .svg.
        dpi: pixels an inch.
    """
    figure = Figure(figsize=(2 * _SIDE + 1.9, len(projections) * _SIDE), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(projections), 2, squeeze=False)
    for row, (name, projection) in enumerate(projections):
        _by_coarse(axes[row, 0], projection.points, labelled)
        _by_fine(axes[row, 1], projection.points, labelled)
        axes[row, 0].set_ylabel(name, fontsize=10)
        told = f"{projection.method}, trustworthiness {projection.trust:.2f}"
        axes[row, 0].set_title(f"all {np.count_nonzero(labelled.coarse >= 0):,} images by coarse class", fontsize=9)
        axes[row, 1].set_title("fine classes of the marked ones", fontsize=9)
        axes[row, 0].set_xlabel(told, fontsize=8)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
        axis.set_box_aspect(1)
    (marked, coarse), (handles, fine) = (axis.get_legend_handles_labels() for axis in axes[0])
    blank = Line2D([], [], linestyle="")
    figure.legend(
        [*marked, blank, *handles],
        [*coarse, "", *fine],
        fontsize=6.5,
        loc="outside right upper",
        frameon=False,
        handletextpad=0.2,
    )
    save_figure(figure, target, dpi)


def _by_coarse(axis: Axes, points: NDArray[np.float64], labelled: Labelled) -> None:
    """Every coarse class in its colour; the chosen ones by marker too."""
    palette = colormaps["tab20"]
    for c in sorted(set(labelled.coarse[labelled.coarse >= 0].tolist()) - set(labelled.chosen)):
        its = points[labelled.coarse == c]
        axis.scatter(its[:, 0], its[:, 1], s=14, marker=".", color=palette(c % 20), alpha=0.6, linewidths=0)
    for place, c in enumerate(labelled.chosen):
        its = points[labelled.coarse == c]
        if not len(its):
            continue
        colour, name = _COLOURS[place % len(_COLOURS)], labelled.coarse_names[c]
        axis.scatter(its[:, 0], its[:, 1], s=18, marker=_MARKERS[place % 8], color=colour, linewidths=0, label=name)


def _by_fine(axis: Axes, points: NDArray[np.float64], labelled: Labelled) -> None:
    """The chosen classes' points, a marker a coarse class, a colour a fine one within it; the others pale."""
    shown = np.isin(labelled.coarse, labelled.chosen) & (labelled.fine >= 0)
    axis.scatter(points[~shown, 0], points[~shown, 1], s=5, marker=".", color="0.88", linewidths=0)
    for place, c in enumerate(labelled.chosen):
        marker = _MARKERS[place % 8]
        children = sorted(set(labelled.fine[shown & (labelled.coarse == c)].tolist()))
        colours = colormaps["tab10" if len(children) <= 10 else "turbo"]
        for number, f in enumerate(children):
            its = points[shown & (labelled.fine == f)]
            colour = colours(number if len(children) <= 10 else number / len(children))
            name = labelled.fine_names[f]
            axis.scatter(its[:, 0], its[:, 1], s=16, marker=marker, color=colour, alpha=0.9, linewidths=0, label=name)
