"""`linnet cost`: what each member of an ensemble brings and costs, beside other runs such as a distilled one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated, Any

import typer

from linnet import files
from linnet.cli.console import is_main, tell

if TYPE_CHECKING:
    from linnet.training.run import Evaluation, Run

__all__ = ["cost", "register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(cost)


def cost(
    folders: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Run folders; seeds of one recipe make one row.")
    ],
    on: Annotated[str, typer.Option(help="Split that accuracy is of, and is measured on unless it was.")] = "test",
    root: Annotated[str | None, typer.Option(help="Folder that now holds the data set, or image paths.")] = None,
    device: Annotated[str | None, typer.Option(help="Where to measure: auto, cpu or cuda.")] = None,
    members: Annotated[
        list[int] | None, typer.Option(help="Of ensembles, these numbers of first members alone; by default each.")
    ] = None,
    batch: Annotated[int, typer.Option(help="Images predicted at once when time and memory are measured.")] = 32,
    out: Annotated[Path | None, typer.Option("--json", help="Write the table to this file as JSON.")] = None,
    record: Annotated[
        Path | None, typer.Option(help="Append all figures to this file of JSON lines, one line a metric.")
    ] = None,
    note: Annotated[str, typer.Option(help="What a reader of the record must know besides.")] = "",
) -> None:
    """Accuracy, time an image and memory: of an ensemble's first member, its first two, and so on."""
    from linnet.cli.record import results_of
    from linnet.report.results import append_results
    from linnet.training.run import Run

    moved = {key: value for key, value in (("root", root), ("device", device)) if value is not None}
    rows, lines, sources = [], [], dict[object, Any]()
    for group in _seeds([Run.open(folder) for folder in folders]):
        for first in _prefixes(group[0], members):
            runs = [Run.open(run.folder, first) for run in group]
            for run in runs:
                run.recipe, run.sources = run.recipe.change(**moved), sources
            found = [_measured(run, on, batch) for run in runs]
            results = results_of(runs, found, note)
            lines += results
            rows.append(_row(results[0].row, runs, found))
            tell(f"{rows[-1]['row']}: {rows[-1]['metric']} {fmean(rows[-1]['values']):.2f}")
    _show(rows)
    if is_main() and out is not None:
        files.write_text(out, json.dumps(rows, indent=2) + "\n")
    if is_main() and record is not None:
        total = append_results(record, lines)
        tell(f"{len(lines)} figures recorded in {record}, which now has {total} lines")


def _seeds(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs that differ in their seed alone, together."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.recipe.change(seed=0).model_dump_json(), []).append(run)
    return list(groups.values())


def _prefixes(run: Run, wanted: Sequence[int] | None) -> list[int | None]:
    """How many members to measure, in turn; None for all, and for a run that is no ensemble."""
    count = len(run.bundle.method.members())
    every: list[int | None] = [*range(1, count), None]
    return every if wanted is None or count < 2 else [each for each in every if (each or count) in wanted]


def _measured(run: Run, on: str, batch: int) -> Evaluation:
    """The figures of a split, with time and memory among them."""
    from linnet.training.cost import measure_cost
    from linnet.training.device import find_place

    place = find_place(run.recipe.change(precision="fp32"))
    found = run.evaluated(on) or run.evaluate(on)
    run.bundle.method.to(place.device)
    spent = asdict(measure_cost(run.bundle.method, run.bundle.preprocessing.size, batch=batch))
    return replace(found, figures={**found.figures, **spent})


def _row(name: str, runs: Sequence[Run], found: Sequence[Evaluation]) -> dict[str, Any]:
    method = runs[0].bundle.method
    metric = method.selects if method.selects in found[0].figures else next(iter(found[0].figures))
    figures = [each.figures for each in found]
    costs = ("milliseconds_per_image", "peak_memory", "parameters")
    return {
        "row": name,
        "members": max(1, len(method.members())),
        "runs": [str(run.folder) for run in runs],
        "split": found[0].split,
        "metric": metric,
        "values": [each[metric] for each in figures],
        **{key: [each[key] for each in figures] for key in costs},
    }


def _show(rows: Sequence[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    if not is_main():
        return
    table = Table()
    for heading in ("row", "members", "runs", "metric", "%", "ms an image", "memory, MB", "parameters, millions"):
        table.add_column(heading, justify="left" if heading in ("row", "metric") else "right")
    for row in rows:
        spent = [fmean(row[key]) for key in ("milliseconds_per_image", "peak_memory", "parameters")]
        shown = [f"{fmean(row['values']):.2f}", f"{spent[0]:.2f}", f"{spent[1]:.1f}", f"{spent[2]:.2f}"]
        table.add_row(row["row"], str(row["members"]), str(len(row["runs"])), row["metric"], *shown)
    Console().print(table)
