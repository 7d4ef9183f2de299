"""`linnet train`: from a recipe and `key=value` settings to a run folder and its figures."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from linnet import files
from linnet.cli.console import complain, show_figures, tell
from linnet.errors import RecipeError, RunError

if TYPE_CHECKING:
    from linnet.recipes import Recipe

__all__ = ["read_settings", "register", "train"]

_SETTING = re.compile(r"[A-Za-z_][\w.]*=")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(train)


def train(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="DATA KEY=VALUE",
            help="DATA: a known data set (cifar100, creatures, patches), a table of images, or a folder. "
            "Settings follow, such as method=coins epochs=30; --dry-run prints them all.",
        ),
    ] = None,
    recipe: Annotated[str | None, typer.Option(help="Start from this recipe; see linnet recipes.")] = None,
    root: Annotated[str | None, typer.Option(help="Folder that holds the data set, or image paths.")] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; by default a new one under runs/.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print all settings as TOML, and stop.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
) -> None:
    """Train on images with coarse labels (or finer), and measure on the test split."""
    arguments = arguments or []
    settings = read_settings(arguments, recipe, root, out if resume else None)
    if dry_run:
        from linnet.recipes import to_toml

        typer.echo(to_toml(settings, explain=True), nl=False)
        return
    folder = out or _folder(recipe, settings, resume)
    try:
        _run(settings, folder, resume)
    except KeyboardInterrupt:
        command = ["linnet", "train", "--resume", "--out", str(folder)]
        complain(f"interrupted; resume with: {shlex.join(command)}")
        raise typer.Exit(130) from None


def read_settings(arguments: list[str], recipe: str | None, root: str | None, old: Path | None = None) -> Recipe:
    """The resolved recipe; a run that is resumed with nothing else said brings its own."""
    from linnet.recipes import Recipe, resolve

    if old is not None and not arguments and recipe is None and (old / "recipe.json").exists():
        return Recipe.read(files.read_json(old / "recipe.json"), f"{old}/recipe.json")
    data = None
    if arguments and (not _SETTING.match(arguments[0]) or Path(arguments[0]).exists()):
        data, *arguments = arguments
    fixed = {key: value for key, value in (("data", data), ("root", root)) if value is not None}
    settings = resolve(recipe, arguments, **fixed)
    if not settings.data:
        from linnet.datasets import KNOWN

        raise RecipeError(
            f"say what to train on: linnet train DATA ..., where DATA is one of {', '.join(KNOWN)}, "
            "or a table (CSV, TSV, Parquet, JSON lines) or folder of images"
        )
    return settings


def _run(settings: Recipe, folder: Path, resume: bool) -> None:
    from linnet.training.api import train as train_run

    tell(f"run folder: {folder}")
    run = train_run(settings, folder, resume=resume)
    if not any(len(run.load().rows.get(split, ())) for split in ("test", "validation")):
        tell(f"run folder: {folder}; nothing was kept back to measure on (no test split, validation = 0)")
        return
    found = run.evaluate()
    for mark in found.marks:
        tell(f"mark: {mark}")
    title = f"{settings.method} on {found.images:,} {found.split} images"
    show_figures(title, found.figures, found.floors, settings.published)
    tell(f"run folder: {folder}; measure again with: linnet evaluate {shlex.quote(str(folder))}")


def _folder(recipe: str | None, settings: Recipe, resume: bool) -> Path:
    """`runs/NAME`, or `runs/NAME-2` and so on where that is taken; to resume, the latest of them.

    Raises:
        RunError: nothing to resume, or several processes, which must agree on a folder.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise RunError("several processes need one run folder: give --out")
    name = recipe.removesuffix(".toml") if recipe else f"{Path(settings.data).stem}-{settings.method}"
    base = Path("runs") / re.sub(r"[^\w.-]+", "-", name).strip("-.")
    last, following, number = None, base, 2
    while following.exists():
        last, following, number = following, Path(f"{base}-{number}"), number + 1
    if resume and last is None:
        raise RunError(f"nothing to resume: {base} does not exist; give the run's folder with --out")
    return last if resume and last is not None else following
