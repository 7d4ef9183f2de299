"""`linnet sweep`: choose one setting on the validation split, by what the method's labels allow it to see."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from linnet.cli.console import is_main, tell
from linnet.errors import RecipeError

if TYPE_CHECKING:
    from linnet.report.results import Result
    from linnet.training.sweep import Sweep

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
    record: Annotated[Path | None, typer.Option(help="Keep the validation figures in this file of results.")] = None,
    note: Annotated[str, typer.Option(help="What a reader of the record must know besides.")] = "",
) -> None:
    """Train once for each value of a setting and pick one on the validation split; broken off, it goes on."""
    from linnet.cli.train import read_settings
    from linnet.recipes import parse_overrides
    from linnet.report.results import append_results
    from linnet.training.sweep import FINE, SIGNALS
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
    if record is not None:
        append_results(record, _results(found, note))
    title = f"Validation figures. Best {found.chosen_by}: {key}={found.best}; "
    table = Table(title=f"{title}largest within two standard errors of it: {key}={found.largest}", title_justify="left")
    table.add_column(key)
    for trial in found.trials:
        table.add_column(str(trial.value), justify="right")
    for name in (*SIGNALS, *FINE):
        if name in found.trials[0].figures:
            table.add_row(name, *(f"{trial.figures[name]:.2f}" for trial in found.trials))
    Console().print(table)
    for signal, fine in found.correlations.items():
        told = ", ".join(f"{value:+.2f} with {name}" for name, value in fine.items())
        tell(f"rank correlation of {signal}: {told}")


def _results(found: Sweep, note: str) -> list[Result]:
    """The trials' validation figures, a row a value, and the rank correlations over them."""
    from linnet.cli.record import results_of
    from linnet.training.run import Evaluation, Run

    lines: list[Result] = []
    for trial in found.trials:
        run = Run.open(trial.folder)
        figures = Evaluation("validation", 0, trial.figures, {})
        row = f"{run.recipe.row or run.recipe.method} {found.key}={trial.value}"
        lines += [
            line.model_copy(update={"row": row, "published": None}) for line in results_of([run], [figures], note)
        ]
    same = {"row": f"sweep of {found.key}", "floor": None, "published": None, "interval": None}
    lines += [
        lines[0].model_copy(update={**same, "metric": f"rho({signal}, {name})", "mean": value, "values": (value,)})
        for signal, fine in found.correlations.items()
        for name, value in fine.items()
    ]
    return lines
