"""`linnet index`: embeddings of a collection on disk, to be searched."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from linnet.cli.console import show_log, tell

if TYPE_CHECKING:
    from linnet.search import Index

__all__ = ["index", "register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(index)


def index(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN [DATA] [KEY=VALUE]",
            help="RUN: the run folder whose net embeds. DATA: a known data set, a table of images, or a folder; by "
            "default the run's own. Settings of reading may follow, such as levels=family,species.",
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="Folder to write; by default RUN/index.")] = None,
    engine: Annotated[
        str, typer.Option(help="What runs the net: auto, torch, compile, openvino or openvino-int8.")
    ] = "auto",
    split: Annotated[list[str] | None, typer.Option(help="Only images of this split; several times for more.")] = None,
    root: Annotated[str | None, typer.Option(help="Folder that holds the data set, or image paths.")] = None,
) -> None:
    """Embed a collection, and keep the vectors in a folder that `linnet search` looks in. Interrupted, it resumes."""
    from linnet.cli.reading import read_reading
    from linnet.search.build import build_index
    from linnet.search.collection import read_collection
    from linnet.training.run import Run

    run = Run.open(arguments[0])
    data, reading = read_reading(arguments[1:])
    collection = read_collection(run, data, root, reading)
    target = out or run.folder / "index"
    began = time.monotonic()
    with show_log():
        made = build_index(run, collection, target, splits=split or (), engine=engine)
    _tell(made, target, time.monotonic() - began)


def _tell(made: Index, target: Path, seconds: float) -> None:
    engine = made.made_by.get("engine", {})
    by = f"; {engine['name']} in {engine['precision']}" if engine else ""
    tell(f"index: {target}: {len(made):,} vectors of {made.card.dim} numbers{by}; {seconds:.0f} s")
