"""`linnet check`: what is wrong with a collection's labels and images, and what can be learnt from it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from linnet import files
from linnet.cli.console import tell
from linnet.cli.train import read_settings
from linnet.errors import ManifestError, RecipeError, TaxonomyError

if TYPE_CHECKING:
    from linnet.doctor import Checkup, Finding
    from linnet.doctor.findings import Item
    from linnet.manifest import Manifest
    from linnet.recipes import Recipe

__all__ = ["FOUND", "check", "register"]

FOUND = 3
"""The exit code when something of the asked-for severity was found."""

_LISTED = 5
_COLOURS = {"error": "red", "warning": "yellow", "note": "cyan"}


class _FailOn(Enum):
    ERROR = "error"
    WARNING = "warning"
    NEVER = "never"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(check)


def check(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="DATA [KEY=VALUE]",
            help="DATA: a known data set, a table of images, or a folder. Settings that say how it is read and which "
            "levels are meant may follow, such as attributes=birds.csv coarse=family fine=species.",
        ),
    ],
    fail_on: Annotated[_FailOn, typer.Option(help=f"Exit with {FOUND} when something as grave as this is found.")] = (
        _FailOn.ERROR
    ),
    as_json: Annotated[Path | None, typer.Option("--json", help="Write all findings to this file, with rows.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page with pictures to this file.")] = None,
    workers: Annotated[int, typer.Option(min=0, help="Threads that decode; 0 takes one for each core.")] = 0,
    root: Annotated[str | None, typer.Option(help="Folder that holds the data set, or image paths.")] = None,
) -> None:
    """Examine labels and images: what is broken, doubled, leaking, blank or odd, and which methods the labels allow."""
    stray = {argument.partition("=")[0] for argument in arguments[1:]} - _allowed()
    if stray:
        raise RecipeError(f"{', '.join(sorted(stray))}: check takes only {', '.join(sorted(_allowed()))}")
    recipe = read_settings(arguments, None, root)
    checkup = _examine(recipe, arguments + (["--root", root] if root else []), workers)
    Console().print(_shown(checkup), soft_wrap=True)
    if as_json is not None:
        files.write_json(as_json, checkup.content())
        tell(f"findings: {as_json}")
    if html is not None:
        from linnet.doctor.page import check_page

        tell(f"page: {html} ({check_page(checkup, html) / 1e6:.1f} MB)")
    worst = checkup.worst()
    if worst is not None and worst.rank <= {"error": 0, "warning": 1, "never": -1}[fail_on.value]:
        raise typer.Exit(FOUND)


def _allowed() -> set[str]:
    from linnet.recipes.model import READING

    return {*READING, "coarse", "fine"}


def _examine(recipe: Recipe, given: list[str], workers: int) -> Checkup:
    """Read and examine; where the labels do not make a hierarchy, say so and look at the images all the same."""
    from dataclasses import replace

    from linnet.datasets import load_data
    from linnet.doctor.checkup import Checkup, examine, refused
    from linnet.doctor.findings import Code, Finding, Severity

    reading, source = recipe.reading(), str(recipe.data)
    error: ManifestError | TaxonomyError | None = None
    manifest: Manifest | None = None
    with _heard() as passed:
        try:
            manifest = load_data(recipe.data, recipe.root, **reading)
        except TaxonomyError as raised:
            error = raised
            manifest = _lenient(recipe)
        except ManifestError as raised:
            error = raised
    if manifest is None:
        assert error is not None
        return Checkup(source, None, (refused(source, error),))
    checkup = examine(manifest, recipe, given, workers=workers, progress=True)
    notes = tuple(
        Finding(Code.PASSED_OVER, Severity.NOTE, text, "Nothing need be done, if they are no photos.")
        for text in passed
    )
    first = () if error is None else (refused(source, error),)
    return replace(checkup, findings=(*first, *checkup.findings, *notes), advice=None if error else checkup.advice)


def _lenient(recipe: Recipe) -> Manifest | None:
    """The manifest with every class told by its whole path, where that can be read; else None."""
    from linnet.datasets import KNOWN, load_data

    if recipe.data in KNOWN:
        return None
    try:
        return load_data(recipe.data, recipe.root, **{**recipe.reading(), "qualify": True, "allow_skips": True})
    except (ManifestError, TaxonomyError):
        return None


@contextmanager
def _heard() -> Iterator[list[str]]:
    """What reading warns of, such as files that are passed over."""
    texts: list[str] = []
    logger, handler = logging.getLogger("linnet"), logging.Handler(logging.WARNING)
    handler.emit = lambda record: texts.append(record.getMessage())  # type: ignore[method-assign]
    logger.addHandler(handler)
    try:
        yield texts
    finally:
        logger.removeHandler(handler)


def _shown(checkup: Checkup) -> RenderableType:
    """The report for a terminal."""
    parts: list[RenderableType] = [_heading(checkup)]
    parts += [_finding(checkup, each) for each in checkup.findings]
    if not checkup.findings:
        parts.append(Text("nothing found that is wrong or odd", style="green"))
    if checkup.floors:
        parts += [Text(), _floors(checkup)]
    parts += [Text(), *_advice(checkup)]
    return Group(*parts)


def _heading(checkup: Checkup) -> Text:
    facts = checkup.facts
    if not facts:
        return Text(checkup.source, style="bold")
    splits = ", ".join(f"{name} {count:,}" for name, count in facts["splits"].items())
    levels = ", ".join(f"{each['classes']:,} {each['level']}" for each in facts["levels"])
    counts = ", ".join(f"{checkup.summary(name)}" for name in ("error", "warning", "note"))
    text = Text(f"{checkup.source}: {facts['images']:,} images", style="bold")
    text.append(f"{f' ({splits})' if splits else ''}; classes: {levels}\n", style="default")
    return text.append(counts, style="default")


def _finding(checkup: Checkup, found: Finding) -> Text:
    """Severity and code, what was found, the first cases, and what to do."""
    text = Text("\n")
    text.append(found.severity.value, style=f"bold {_COLOURS[found.severity.value]}")
    text.append(f" {found.code}: ", style="bold").append(found.title)
    for item in found.items[:_LISTED]:
        text.append(f"\n  {_told(checkup, item)}")
    if len(found.items) > _LISTED:
        text.append(f"\n  and {len(found.items) - _LISTED:,} more")
    return text.append(f"\n  {found.advice}", style="italic")


def _told(checkup: Checkup, item: Item) -> str:
    """A case in one line: its files, and what it says."""
    from linnet.doctor.findings import place

    places = [place(checkup.manifest, row) for row in item.rows[:3]] if checkup.manifest is not None else []
    rows = ", ".join(places) + (f", and {len(item.rows) - 3} more" if len(item.rows) > 3 else "")
    return ": ".join(filter(None, [rows, item.says]))


def _floors(checkup: Checkup) -> Table:
    """What guessing scores."""
    title = f"What guessing scores on {checkup.scored or 'all'} images, %"
    table = Table(title=title, title_justify="left", title_style="bold")
    names = (
        "level",
        "classes",
        "images",
        "chance",
        "majority",
        "recall@1",
        "a child",
        "largest child",
    )
    for number, name in enumerate(names):
        table.add_column(name, justify="right" if number else "left")
    for floor in checkup.floors:
        values = (floor.chance, floor.majority, floor.recall, floor.child, floor.largest_child)
        numbers = ["" if value is None else f"{value:.2f}" for value in values]
        table.add_row(floor.level, f"{floor.classes:,}", f"{floor.images:,}", *numbers)
    return table


def _advice(checkup: Checkup) -> list[Text]:
    """What can be learnt, and the commands."""
    advice = checkup.advice
    if advice is None:
        return [Text("Which methods the labels allow can be said once the errors above are mended.")]
    lines = [Text(f"The labels allow: {', '.join(advice.allowed)}", style="bold")]
    if advice.once:
        lines.append(Text(f"\nWhat follows holds {advice.once}.", style="yellow"))
    for number, each in enumerate(advice.start):
        lines.append(Text(f"\n{'start with' if not number else 'then'} {each.method}: {each.why}"))
        lines.append(Text(f"  {each.command}", style="bold"))
    return lines
