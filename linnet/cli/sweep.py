"""`linnet sweep`: choose one setting on the validation split, by what the method's labels allow it to see."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from linnet.cli.console import is_main, tell
from linnet.errors import RecipeError

__all__ = ["register", "sweep"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(sweep)


def sweep(
    arguments: Annotated[
        list[str],
        typer.Argument(metavar="[DATA] KEY=VALUE...", help="What to train on, and settings; as for train."),
    ],
    over: Annotated[str, typer.Option(help="The setting and its values: lambda=0.01,0.1,1")],
    out: Annotated[Path, typer.Option(help="Folder of the runs and of sweep.json.")],
    recipe: Annotated[str | None, typer.Option(help="Start from this recipe.")] = None,
    root: Annotated[str | None, typer.Option(help="Folder that holds the data set, or image paths.")] = None,
) -> None:
    """Train once for each value of a setting and pick one on the validation split; broken off, it goes on."""
    from linnet.cli.train import read_settings
    from linnet.recipes import parse_overrides
    from linnet.training.sweep import SIGNALS
    from linnet.training.sweep import sweep as run_sweep

    key, equals, listed = over.partition("=")
    if not equals or not listed:
        raise RecipeError(f"--over {over!r}: write a setting and its values, such as lambda=0.01,0.1,1")
    settings = read_settings(arguments, recipe, root)
    values = []
    for text in listed.split(","):
        typed = parse_overrides([f"{key}={text}"], settings)
        values.append({**typed, **typed.get("options", {})}[key.removeprefix("options.")])
    found = run_sweep(settings, key.removeprefix("options."), values, out)
    if not is_main():
        return
    names = [*SIGNALS, "fine_recall@1", "fine_recall@1_within"]
    table = Table(title=f"validation figures by {key}; chosen by {found.chosen_by}: {found.chosen}")
    for heading in (key, *names):
        table.add_column(heading, justify="right")
    for trial in found.trials:
        table.add_row(str(trial.value), *(f"{trial.figures.get(name, float('nan')):.2f}" for name in names))
    Console().print(table)
    for signal, fine in found.correlations.items():
        told = ", ".join(f"{value:+.2f} with {name}" for name, value in fine.items())
        tell(f"rank correlation of {signal}: {told}")
