"""`linnet recipes`: what ships with Linnet, and the settings of one recipe."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

__all__ = ["recipes", "register"]

_SHOWN = ("fine_top1", "fine_recall@1", "coarse_top1")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(recipes)


def recipes(
    name: Annotated[
        str | None, typer.Argument(help="Print this recipe's settings as TOML; a folder such as cub lists its own.")
    ] = None,
) -> None:
    """List the recipes, or print one."""
    from linnet.recipes import list_recipes, load_recipe, to_toml

    names = [each for each in list_recipes() if name is None or each.startswith(f"{name}/")]
    if name is not None and (name in list_recipes() or not names):
        typer.echo(to_toml(load_recipe(name), explain=True), nl=False)
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("recipe", min_width=max(map(len, names)))  # a name cut short is of no use
    for heading in ("paper", "row", "epochs", "published"):
        table.add_column(heading, justify="right" if heading == "epochs" else "left")
    for each in names:
        recipe = load_recipe(each)
        figures = [f"{metric} {recipe.published[metric]:.2f}" for metric in _SHOWN if metric in recipe.published]
        told = (each, recipe.paper, recipe.row.replace("[", r"\["), str(recipe.epochs))
        table.add_row(*told, figures[0] if figures else "")
    Console().print(table)
    typer.echo("\nTrain by one:  linnet train --recipe cifar100/cpu-coins")
    typer.echo("See all of it: linnet recipes cifar100/cpu-coins")
