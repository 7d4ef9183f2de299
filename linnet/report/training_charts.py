"""How runs trained: charts of what `metrics.jsonl` holds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from linnet.errors import RunError
from linnet.metrics.units import unit
from linnet.report.chart import Chart, Curve, chart
from linnet.report.labels import heading
from linnet.report.series import Measured, Series
from linnet.training.run import Run

__all__ = ["read_metrics", "training_charts"]

_WATCHED = ("fine_top1", "coarse_top1", "fine_recall@1", "fine_recall@1_within", "coarse_recall@1")
_MOST_LOSSES = 8


@dataclass(frozen=True)
class _Log:
    """A run's lines, its series' number, and what its figures while training are called before the slash."""

    measured: Measured
    series: int
    lines: list[dict[str, Any]]
    split: str

    def points(self, key: str) -> tuple[tuple[float, float], ...]:
        return tuple(
            (float(line["epoch"]), float(line[key])) for line in self.lines if isinstance(line.get(key), int | float)
        )


def read_metrics(run: Run) -> list[dict[str, Any]]:
    """The lines of a run's `metrics.jsonl`, one an epoch; none where there is no such file.

    Raises:
        RunError: a line is not JSON; names it.
    """
    path, found = run.folder / "metrics.jsonl", []
    if not path.exists():
        return []
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            found.append(json.loads(text))
        except json.JSONDecodeError as error:
            raise RunError(f"{path}, line {number}: not JSON ({error}); it was changed by hand or cut short") from None
    return found


def training_charts(series: Sequence[Series]) -> list[Chart]:
    """What chose the epoch, other figures of the same images, loss terms, and the learning rate; all runs in each."""
    logs = [_log(measured, each.number) for each in series for measured in each.runs]
    logs = [log for log in logs if log.lines]
    stages = _stages(logs)
    charts = [*_validation(logs, stages)]
    keys = list(dict.fromkeys(key for log in logs for line in log.lines for key in line if key.startswith("loss/")))
    for key in keys[:_MOST_LOSSES]:
        charts += _of(f"loss: {key.removeprefix('loss/')}", "mean over the epoch", key, logs, stages)
    return [*charts, *_of("learning rate", "at the end of the epoch", "lr", logs, stages)]


def _log(measured: Measured, number: int) -> _Log:
    lines = read_metrics(measured.run)
    on = measured.run.recipe.select_on
    return _Log(measured, number, lines, "validation" if on == "last" else on)


def _stages(logs: Sequence[_Log]) -> list[tuple[float, str]]:
    """Where stages begin, if every run has the same ones."""
    begins = []
    for log in logs:
        first: dict[str, float] = {}
        for line in log.lines:
            first.setdefault(str(line.get("stage", "")), float(line["epoch"]))
        begins.append([(epoch, name) for name, epoch in first.items()])
    return begins[0] if begins and all(each == begins[0] for each in begins) else []


def _of(title: str, told: str, key: str, logs: Sequence[_Log], stages: Sequence[tuple[float, str]]) -> list[Chart]:
    curves = [Curve(log.measured.name, log.series, points) for log in logs if (points := log.points(key))]
    try:
        return [chart(title, told, curves, stages)] if curves else []
    except ValueError:  # a loss that was never finite
        return []


def _validation(logs: Sequence[_Log], stages: Sequence[tuple[float, str]]) -> list[Chart]:
    """A chart for each figure that chose a run's epoch, which is marked, then those that were only watched."""
    chosen = {id(log): str(log.measured.run.summary.get("chosen_by") or "") for log in logs}
    metrics = list(dict.fromkeys([*filter(None, chosen.values()), *_WATCHED]))
    charts = []
    for metric in metrics:
        curves, splits = [], set()
        for log in logs:
            points = log.points(f"{log.split}/{metric}")
            if not points:
                continue
            best = log.measured.run.summary.get("best_epoch") if chosen[id(log)] == metric else None
            value = dict(points).get(float(best)) if best is not None else None
            note = f"epoch {best} chosen: {value:.1f}" if value is not None else ""
            splits.add(log.split)
            curves.append(Curve(log.measured.name, log.series, points, None if best is None else float(best), note))
        if curves:
            role = "chose the epoch" if metric in chosen.values() else "watched only"
            shown = "%, " if unit(metric) == "%" else ""
            charts.append(chart(f"{' and '.join(sorted(splits))}: {heading(metric)}", f"{shown}{role}", curves, stages))
    return charts
