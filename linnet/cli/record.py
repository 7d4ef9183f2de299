"""Results are data: each figure a line of JSON, written by the command that measured it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from statistics import fmean
from typing import TYPE_CHECKING

from linnet.errors import RunError
from linnet.report.results import Result, told_command

if TYPE_CHECKING:
    from linnet.training.run import Evaluation, Run

__all__ = ["results_of"]


def results_of(runs: Sequence[Run], found: Sequence[Evaluation], note: str = "") -> list[Result]:
    """One result for each metric, over runs that differ in their seed alone; percentages are 0 to 100.

    `note` is what a reader must know besides: how busy the machine was, say.

    `floor` is what chance scores, averaged over the runs; `published` the paper's figure, or None.

    Raises:
        RunError: the runs are of different recipes, or of one seed twice.
    """
    first, recipe, seeds = runs[0], runs[0].recipe, [run.recipe.seed for run in runs]
    for run in runs[1:]:
        if run.recipe.change(seed=recipe.seed) != recipe:
            raise RunError(f"{run.folder} and {first.folder} differ in more than their seed; record each by itself")
    if len(set(seeds)) < len(seeds):
        raise RunError(f"seeds {', '.join(map(str, seeds))}: a seed counts once; leave out the second run of it")
    said = [run.summary for run in runs]
    marks = [*dict.fromkeys(mark for each in found for mark in each.marks)]
    shared = {
        **{key: getattr(recipe, key) for key in ("paper", "table", "protocol")},
        "scale": recipe.scale or "own",
        "row": _row(first),
        "dataset": recipe.dataset or recipe.data,
        "start": first.bundle.card["start"],
        "split": found[0].split,
        "seeds": seeds,
        "seconds": round(fmean(run.seconds for run in runs), 1),
        "machine": said[0]["machine"],
        "versions": said[0]["versions"],
        "command": told_command(said[0]["command"]),
        "date": datetime.now(UTC).date().isoformat(),
        "notes": "; ".join(filter(None, [recipe.note, *marks, note])),
    }
    return [
        Result(
            **shared,
            metric=metric,
            values=tuple(round(each.figures[metric], 4) for each in found),
            floor=_mean([each.floors.get(metric) for each in found]),
            published=recipe.published.get(metric) if shared["row"] == recipe.row else None,
        )
        for metric in found[0].figures
        if all(metric in each.figures for each in found)  # a run without a mistake has no severity
    ]


def _row(run: Run) -> str:
    """What results call a run; an ensemble's first member, which learnt from labels alone, is a single model."""
    name = run.recipe.row or run.recipe.method
    if run.members is None or run.members == run.recipe.options.get("members", 1):
        return name
    return "single" if run.members == 1 else f"{name}[members={run.members}]"


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(fmean(known), 4) if known else None
