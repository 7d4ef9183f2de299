"""`linnet train`: from a recipe and `key=value` settings to a run folder and its figures."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from linnet import files
from linnet.cli.console import complain, show_figures, show_log, tell
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
            help="DATA: a known data set (cifar100, cub, creatures, ...), a table of images, or a folder. "
            "Settings follow, such as method=coins epochs=30; --dry-run prints them all.",
        ),
    ] = None,
    recipe: Annotated[str | None, typer.Option(help="Start from this recipe; see linnet recipes.")] = None,
    root: Annotated[str | None, typer.Option(help="Folder that holds the data set, or image paths.")] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; by default a new one under runs/.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print all settings as TOML, and stop.")] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --out, by the settings it was begun with.")
    ] = False,
) -> None:
    """Train on images with coarse labels (or finer), and measure on the test split."""
    arguments = arguments or []
    settings = _resumed(arguments, recipe, root, out) if resume else read_settings(arguments, recipe, root)
    if dry_run:
        from linnet.recipes import to_toml

        typer.echo(to_toml(settings, explain=True), nl=False)
        return
    folder = out or _folder(recipe, settings, resume)
    try:
        _run(settings, folder, resume)
    except KeyboardInterrupt:
        command = ["linnet", "train", "--resume", "--out", str(folder)]
        begun = (folder / "recipe.json").exists()
        complain(f"interrupted; resume with: {shlex.join(command)}" if begun else "interrupted before training began")
        raise typer.Exit(130) from None


def read_settings(arguments: list[str], recipe: str | Recipe | None, root: str | None) -> Recipe:
    """The resolved recipe of `[DATA] key=value...`, from the one that is named, or at hand.

    Raises:
        RecipeError: a setting that is not allowed, or no data.
    """
    from linnet.recipes import resolve

    data, items = _split(arguments)
    fixed = {key: value for key, value in (("data", data), ("root", root)) if value is not None}
    settings = resolve(recipe, items, **fixed)
    if not settings.data:
        raise RecipeError(_data_wanted(recipe if isinstance(recipe, str) else None, settings))
    return settings


def _split(arguments: list[str]) -> tuple[str | None, list[str]]:
    """DATA, where the first argument is it, and the settings."""
    if arguments and (not _SETTING.match(arguments[0]) or Path(arguments[0]).exists()):
        return arguments[0], arguments[1:]
    return None, arguments


def _data_wanted(recipe: str | None, settings: Recipe) -> str:
    """What to train on, for a user who did not say."""
    from linnet.datasets import KNOWN

    if recipe is None:
        return (
            f"say what to train on: linnet train DATA ..., where DATA is one of {', '.join(KNOWN)}, "
            "or a table (CSV, TSV, Parquet, JSON lines) or folder of images"
        )
    coarse, fine = settings.coarse or "coarse", settings.fine or "fine"
    called = f" ({settings.dataset})" if settings.dataset else ""
    return (
        f"recipe {recipe}{called} has no data of its own: say what to train on, as DATA. That is a table (CSV, TSV, "
        f"Parquet, JSON lines) with the columns image, split (train, test), {coarse} and {fine}, or a folder "
        f"train/{coarse}/{fine}/0001.jpg with test/ beside it. For example, where paths in the table start from DIR: "
        f"linnet train photos.csv --recipe {recipe} --root DIR"
    )


def _resumed(arguments: list[str], recipe: str | None, root: str | None, out: Path | None) -> Recipe:
    """The settings of a run to go on with: its own, unless a recipe is named, with what else is said.

    Training refuses changes that would make it another run.

    Raises:
        RunError: it is not said which run, or the folder holds none.
        RecipeError: as `read_settings`.
    """
    from linnet.recipes import Recipe
    from linnet.recipes.overrides import check_options

    if out is None:
        if recipe is None and _split(arguments)[0] is None:
            raise RunError("--resume needs --out FOLDER, the folder of the run to go on with")
        return read_settings(arguments, recipe, root)
    if not (out / "recipe.json").exists():
        raise RunError(f"{out} holds no run to resume; give the run's folder, or leave --resume out to begin one")
    stored = Recipe.read(files.read_json(out / "recipe.json"), f"{out}/recipe.json")
    settings = read_settings(arguments, recipe or stored, root)
    before = check_options(stored).options
    if recipe is not None or settings.options == before:
        return settings
    # Such as members: a recipe with more of them than it names is no longer that recipe.
    told = ", ".join(f"{key}={value}" for key, value in settings.options.items() if before.get(key) != value)
    note = "; ".join(filter(None, [stored.note, f"grown to {told}"]))
    return settings.model_copy(update={"scale": "own" if stored.scale else "", "published": {}, "note": note})


def _run(settings: Recipe, folder: Path, resume: bool) -> None:
    from linnet.training.api import train as train_run

    tell(f"run folder: {folder}")
    with show_log():
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
