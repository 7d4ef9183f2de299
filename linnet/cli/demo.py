"""`linnet demo`: the main job, start to end, on drawn creatures that lie on disk as a user's photos would."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from linnet.cli.console import tell

if TYPE_CHECKING:
    from linnet.training.run import Evaluation

__all__ = ["ROWS", "demo", "register"]

ROWS = {
    "coarse": "Base: coarse labels alone",
    "coins": "CoIns: coarse labels and instances",
}
"""The demo's recipes, in the order of its table."""

_COLUMNS = {
    "coarse_top1": "coarse accuracy",
    "fine_recall@1": "fine recall@1",
    "fine_recall@1_within": "... within the coarse class",
}
_TRAIN_PER_CLASS, _TEST_PER_CLASS = 60, 20

_NEXT = """
Coarse accuracy: the share of test images whose coarse class is right. Fine recall@1: the share whose nearest
neighbour, by cosine of embeddings, is of the same fine class. No fine label was used in training.

Your own photos, in folders named after their classes or in a table with the columns image and class:

    {program} train FOLDER-OR-TABLE method=coins backbone=resnet18 image_size=128

`{program} recipes` lists the experiments that come with Linnet. The demo's images: {data}; its runs: {runs}
"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the drawn images and the runs.")] = Path("runs/demo"),
    program: Annotated[str, typer.Option(hidden=True)] = "linnet",
) -> None:
    """Draw creatures, learn from coarse labels only, and find their fine classes (a few minutes)."""
    from linnet.datasets.creatures import write_folder
    from linnet.manifest import read_manifest
    from linnet.recipes import resolve
    from linnet.training.api import train

    folder = out / "creatures"
    tell(f"drawing creatures into {folder}")
    table = write_folder(folder, train_per_class=_TRAIN_PER_CLASS, test_per_class=_TEST_PER_CLASS)
    manifest = read_manifest(table)
    found: dict[str, Evaluation] = {}
    for name, description in ROWS.items():
        tell(f"training {description}")
        recipe = resolve(f"demo/{name}", data=str(table))
        run = train(recipe, out / name, manifest, resume=True)
        found[name] = run.evaluate()
    _show(found)
    typer.echo(_NEXT.format(program=program, data=shlex.quote(str(folder)), runs=shlex.quote(str(out))))


def _show(found: dict[str, Evaluation]) -> None:
    """The table: a row a method, and what chance scores."""
    table = Table(title="Drawn creatures: 24 fine classes found from 6 coarse labels (test images, %)")
    table.add_column("method")
    for heading in _COLUMNS.values():
        table.add_column(heading, justify="right")
    floors: dict[str, float] = {}
    for name, each in found.items():
        table.add_row(ROWS[name], *(f"{each.figures[metric]:.1f}" for metric in _COLUMNS))
        floors = each.floors
    table.add_row("chance", *(f"{floors[metric]:.1f}" for metric in _COLUMNS))
    Console().print(table)
