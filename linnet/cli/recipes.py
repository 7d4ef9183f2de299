"""`linnet recipes`: what ships with Linnet, and the settings of one recipe."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

__all__ = ["recipes", "register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(recipes)


def recipes(
    name: Annotated[str | None, typer.Argument(help="Print this recipe's settings as TOML.")] = None,
) -> None:
    """List the recipes, or print one."""
    from linnet.recipes import list_recipes, load_recipe, to_toml

    if name is not None:
        typer.echo(to_toml(load_recipe(name), explain=True), nl=False)
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("recipe", "paper", "row", "epochs", "published fine recall@1"):
        table.add_column(heading, justify="right" if heading in {"epochs", "published fine recall@1"} else "left")
    for each in list_recipes():
        recipe = load_recipe(each)
        figure = recipe.published.get("fine_recall@1")
        shown = "" if figure is None else f"{figure:.2f}"
        table.add_row(each, recipe.paper, recipe.row.replace("[", r"\["), str(recipe.epochs), shown)
    Console().print(table)
    typer.echo("\nTrain by one:  linnet train --recipe cifar100/cpu-coins")
    typer.echo("See all of it: linnet recipes cifar100/cpu-coins")
