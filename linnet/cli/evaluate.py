"""`linnet evaluate`: the figures of finished runs on a split, shown and, when asked, recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from linnet.cli.console import is_main, show_figures, tell

__all__ = ["evaluate", "register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(evaluate)


def evaluate(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Run folder; several must be seeds of one recipe."),
    ],
    on: Annotated[str | None, typer.Option(help="Split (val is validation); by default test, else validation.")] = None,
    root: Annotated[str | None, typer.Option(help="Folder that now holds the data set, or image paths.")] = None,
    device: Annotated[str | None, typer.Option(help="Where to measure: auto, cpu or cuda.")] = None,
    members: Annotated[
        int | None, typer.Option(help="Of an ensemble, the first members alone: 1, 2, ...; by default all.")
    ] = None,
    record: Annotated[
        Path | None, typer.Option(help="Append the figures to this file of JSON lines, one line a metric.")
    ] = None,
    note: Annotated[str, typer.Option(help="What a reader of the record must know besides.")] = "",
) -> None:
    """Measure finished runs: accuracy, and recall@k of search by embedding."""
    from linnet.cli.record import results_of
    from linnet.report.results import append_results
    from linnet.training.run import Run

    runs = [Run.open(folder, members) for folder in folders]
    moved = {key: value for key, value in (("root", root), ("device", device)) if value is not None}
    for run in runs:
        run.recipe = run.recipe.change(**moved)
    found = [run.evaluate(on) for run in runs]
    for run, each in zip(runs, found, strict=True):
        first = f", its first {members}," if members else ""
        title = f"{run.folder}: {run.recipe.method}{first} on {each.images:,} {each.split} images"
        show_figures(title, each.figures, each.floors, run.recipe.published)
        for mark in each.marks:
            tell(f"mark: {mark}")
    if record is not None and is_main():
        lines = results_of(runs, found, note)
        total = append_results(record, lines)
        tell(f"{len(lines)} figures recorded in {record}, which now has {total} lines")
