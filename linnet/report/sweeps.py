"""Sweeps of one setting: figures over its values, of several sweeps that differ in their seeds (paper 000, Fig. 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from linnet import files
from linnet.errors import RunError, nearest
from linnet.metrics.units import unit
from linnet.report.figures import save_figure
from linnet.report.labels import heading
from linnet.report.results import half_interval

__all__ = ["Swept", "read_sweeps", "sweep_figure", "sweep_table"]

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe & Ito: told apart by all eyes


@dataclass(frozen=True)
class Swept:
    """Validation figures over the values of a setting.

    Attributes:
        key: the setting.
        values: as text, in order; numbers ascending.
        figures: for each metric and value the figures of the sweeps, one each.
    """

    key: str
    values: list[str]
    figures: dict[str, dict[str, list[float]]]


def read_sweeps(folders: Sequence[Path], metrics: Sequence[str] = ()) -> Swept:
    """Read what `linnet sweep` wrote; by default the metric that chose the value.

    Raises:
        RunError: a folder holds no sweep, sweeps of different settings, or no such metric in all of them.
    """
    found = [files.read_json(folder / "sweep.json") for folder in folders]
    keys = sorted({each["key"] for each in found})
    if len(keys) > 1:
        raise RunError(f"sweeps of different settings: {', '.join(keys)}; draw each by itself")
    trials = [trial for each in found for trial in each["trials"]]
    known = set.intersection(*(set(trial["figures"]) for trial in trials))
    wanted = list(metrics) or sorted({each["chosen_by"] for each in found})
    for metric in wanted:
        if metric not in known:
            raise RunError(
                f"no {metric!r} in every trial{nearest(metric, known)}; there are {', '.join(sorted(known))}"
            )
    numbers = all(isinstance(trial["value"], int | float) for trial in trials)
    ordered = sorted({trial["value"] for trial in trials}) if numbers else [trial["value"] for trial in trials]
    values = list(dict.fromkeys(str(value) for value in ordered))
    return Swept(
        keys[0],
        values,
        {
            metric: {v: [each["figures"][metric] for each in trials if str(each["value"]) == v] for v in values}
            for metric in wanted
        },
    )


def sweep_figure(swept: Swept, target: Path | str, *, dpi: int = 150) -> None:
    """Draw each metric over the values, evenly apart, with half the 95 % t-interval over sweeps as bars.

    Args:
        swept: what to draw.
        target: the file to write, .png, .pdf or .svg.
        dpi: pixels an inch.
    """
    figure = Figure(figsize=(0.8 * len(swept.values) + 3.2, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for number, (metric, points) in enumerate(swept.figures.items()):
        means = [fmean(points[value]) for value in swept.values]
        halves = [half_interval(points[value]) or 0.0 for value in swept.values]
        name = heading(metric)
        axes.errorbar(
            swept.values,
            means,
            halves,
            label=name,
            color=_COLOURS[number % 6],
            marker="os^DvP"[number % 6],
            markersize=5,
            capsize=3,
        )
    axes.set_xlabel(swept.key)
    units = sorted({unit(metric) for metric in swept.figures})
    axes.set_ylabel(f"validation, {', '.join(units)}")
    axes.grid(alpha=0.3)
    figure.legend(fontsize=8, loc="outside lower center", ncols=2)
    save_figure(figure, target, dpi)


def sweep_table(swept: Swept) -> str:
    """The same as a Markdown table."""
    lines = [[swept.key, *swept.values], ["---", *["---:"] * len(swept.values)]]
    for metric, points in swept.figures.items():
        cells = []
        for value in swept.values:
            half = half_interval(points[value])
            cells.append(f"{fmean(points[value]):.2f}" + ("" if half is None else f" ± {half:.2f}"))
        lines.append([heading(metric), *cells])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
