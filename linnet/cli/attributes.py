"""`linnet attributes`: whether the descriptions of a data set's classes tell them apart."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from linnet.cli.train import read_settings
from linnet.errors import ManifestError, RecipeError

if TYPE_CHECKING:
    from linnet.metrics.descriptions import Separation
    from linnet.taxonomy import Taxonomy

__all__ = ["attributes", "register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(attributes)


def attributes(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="DATA [KEY=VALUE]",
            help="DATA: a known data set, a table of images, or a folder. attributes=FILE names a table of "
            "descriptions; other settings that say how the data is read, coarse, fine and classes may follow.",
        ),
    ],
    close: Annotated[
        float, typer.Option(min=-1, max=1, help="Cosine from which on siblings are listed as hard to tell apart.")
    ] = 0.95,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    root: Annotated[str | None, typer.Option(help="Folder that holds the data set, or image paths.")] = None,
) -> None:
    """Say whether class descriptions can name fine classes: do siblings differ in them at all?

    Cosines are of vectors less their mean over all fine classes.
    """
    from linnet.datasets import load_classes
    from linnet.hierarchy import first_few
    from linnet.metrics.descriptions import separation
    from linnet.recipes.model import READING
    from linnet.training.data import restrict
    from linnet.training.descriptions import class_attributes, undescribed
    from linnet.training.part_labels import levels_of

    stray = {argument.partition("=")[0] for argument in arguments[1:]} - {*READING, "coarse", "fine", "classes"}
    if stray:
        allowed = ", ".join((*READING, "coarse", "fine", "classes"))
        raise RecipeError(f"{', '.join(sorted(stray))}: attributes takes only {allowed}")
    recipe = read_settings(arguments, None, root)
    manifest = load_classes(recipe.data, recipe.root, **recipe.reading())
    if manifest.attributes is None:
        raise ManifestError(f"{manifest.source} has no descriptions of its classes: give a table, attributes=FILE")
    coarse, fine = levels_of(recipe, manifest.taxonomy)
    given = manifest.attributes
    if recipe.classes is not None:
        manifest = restrict(manifest, coarse, recipe.classes)
    missing = undescribed(manifest, coarse, fine)
    if missing:
        raise ManifestError(
            f"the attributes table describes {len(given.names)} classes, and not these:\n"
            f"{first_few(missing)}\nAdd a row for each."
        )
    tree = manifest.taxonomy
    _, vectors = class_attributes(manifest, coarse, fine)
    found = separation(vectors.numpy(), tree.ancestor(fine, coarse), tree.count(coarse), close)
    columns = given.columns
    if as_json:
        typer.echo(json.dumps(_content(found, tree, coarse, fine, columns), indent=2, ensure_ascii=False))
    else:
        _show(found, tree, coarse, fine, columns, close)


def _content(found: Separation, tree: Taxonomy, coarse: int, fine: int, columns: tuple[str, ...]) -> dict[str, Any]:
    """Everything by name."""
    low = tree.classes[fine]

    def named(pair: tuple[int, int, float]) -> dict[str, Any]:
        return {"classes": [low[pair[0]], low[pair[1]]], "cosine": round(pair[2], 6)}

    families = [
        {
            "coarse": tree.classes[coarse][family.coarse],
            "fine": [low[number] for number in family.children],
            "cosine": family.cosine,
            "closest": family.closest and named(family.closest),
            "alike": [named(pair) for pair in family.alike],
        }
        for family in found.families
    ]
    constant = [columns[number] for number in found.constant]
    return {**asdict(found), "fine_classes": len(low), "constant": constant, "families": families}


def _show(found: Separation, tree: Taxonomy, coarse: int, fine: int, columns: tuple[str, ...], close: float) -> None:
    """A table of the families with more than one child, the least told apart first, and what to know of all."""
    low, several = tree.classes[fine], [family for family in found.families if family.cosine is not None]
    table = Table(
        title=f"Siblings by their descriptions ({found.attributes} attributes, centred)", title_justify="left"
    )
    for name, right in ((tree.levels[coarse], 0), ("children", 1), ("mean cosine", 1), ("closest pair", 0), ("", 1)):
        table.add_column(name, justify="right" if right else "left")
    for family in sorted(several, key=lambda each: -(each.cosine or 0)):
        assert family.closest is not None
        one, other, cosine = family.closest
        own = (tree.classes[coarse][family.coarse], str(len(family.children)), f"{family.cosine:.2f}")
        table.add_row(*own, f"{low[one]}, {low[other]}", f"{cosine:.2f}")
    alone = len(found.families) - len(several)
    lines = [
        f"{len(low)} classes of level {tree.levels[fine]} in {len(found.families)} of level {tree.levels[coarse]}; "
        f"{alone} of these have one child, which their own name decides",
        f"mean cosine of siblings {_number(found.within)}, of classes of different families {_number(found.between)}",
        f"share of the variance of descriptions that is among siblings: {_number(found.share_within)}",
        f"columns that are the same for all classes: {len(found.constant)} of {found.attributes}"
        + (f" ({', '.join(columns[number] for number in found.constant[:5])})" if found.constant else ""),
    ]
    pairs = [pair for family in found.families for pair in family.alike]
    told = "; ".join(f"{low[one]} and {low[other]}" for one, other, _ in pairs[:5])
    lines.append(
        f"pairs of siblings that are described alike (cosine {close:g} or more): {len(pairs)}"
        + (f" ({told}{'; ...' if len(pairs) > 5 else ''})" if pairs else "")
    )
    console = Console()
    console.print(table)
    for line in lines:
        console.print(Text(line), soft_wrap=True)


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f}"
