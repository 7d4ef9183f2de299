"""`linnet report`: what runs learned, how far it goes and where they err, as one page."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from linnet.cli.console import tell
from linnet.errors import RunError

__all__ = ["register", "report"]


class _Split(Enum):
    TEST = "test"
    VALIDATION = "validation"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(report)


def report(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            help="Run folders. Runs that differ in their seed alone share a column, with 95 % intervals; runs on other "
            "collections get sections of their own.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="The page to write, .html; by default report.html in the first run's folder.")
    ] = None,
    split: Annotated[
        _Split | None, typer.Option(help="Which images the figures are of; by default test, else validation.")
    ] = None,
    root: Annotated[str | None, typer.Option(help="Folder that now holds the data set, or image paths.")] = None,
    device: Annotated[str | None, typer.Option(help="Where to measure: auto, cpu or cuda.")] = None,
    discovery: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Show what linnet discover found with a run's embeddings; may be repeated."),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="The table or folder that the runs learned from, where it lies elsewhere now.")
    ] = None,
    images: Annotated[
        int, typer.Option(min=10, help="Images of the split to look at one by one (confusions, gallery), at most.")
    ] = 10_000,
) -> None:
    """Write one page on finished runs: figures with floors, curves, confusions, nearest images, maps.

    Shows the calibration that linnet predict has left in a run, and discoveries made with its embeddings.
    """
    from linnet.report.report_page import report_page
    from linnet.training.run import Run

    target = out or folders[0] / "report.html"
    if target.suffix.lower() not in (".html", ".htm"):
        raise RunError(f"--out {target}: the report is a page; give a name that ends in .html")
    runs = [Run.open(folder) for folder in folders]
    moved = {key: value for key, value in (("root", root), ("device", device)) if value is not None}
    for run in runs:
        run.recipe = run.recipe.change(**moved)
    size = report_page(
        runs,
        target,
        split=split.value if split else None,
        images=images,
        discoveries=discovery or (),
        data=data,
        say=tell,
    )
    tell(f"page: {target} ({size / 1e6:.1f} MB)")
