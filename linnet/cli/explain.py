"""`linnet explain`: what runs look at in images, as a page or a figure."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from linnet.cli.console import tell
from linnet.errors import RunError

if TYPE_CHECKING:
    from linnet.explain.inputs import Inputs
    from linnet.explain.pictures import View
    from linnet.training.run import Run

__all__ = ["explain", "register"]

_FIGURES = (".png", ".pdf", ".svg")
_FEW, _MANY = 8, 50


class _Kind(Enum):
    GRAD_CAM = "grad-cam"
    ATTENTION = "attention"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(explain)


def explain(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN... [IMAGE...]",
            help="Run folders, several to see them side by side; then images: files, folders, or patterns such as "
            "'photos/*.jpg'. Without images some of the run's own test images are drawn.",
        ),
    ],
    name: Annotated[
        str | None, typer.Option("--class", help="Explain this class; by default the one that is predicted.")
    ] = None,
    level: Annotated[str | None, typer.Option(help="Its level: coarse, fine, or a level's name.")] = None,
    kind: Annotated[
        _Kind, typer.Option(help="What speaks for a class (grad-cam), or the maps that the method has of its own.")
    ] = _Kind.GRAD_CAM,
    out: Annotated[
        Path | None, typer.Option(help="A page, .html, or a figure, .png, .pdf or .svg; by default RUN/explain.html.")
    ] = None,
    members: Annotated[int | None, typer.Option(min=1, help="Show an ensemble's first members only.")] = None,
    count: Annotated[
        int | None,
        typer.Option(min=1, help=f"How many images, at most; by default {_FEW} of a run's, {_MANY} of yours."),
    ] = None,
    split: Annotated[str | None, typer.Option(help="The split to draw images of; by default test.")] = None,
    root: Annotated[str | None, typer.Option(help="Folder that now holds the run's data set.")] = None,
) -> None:
    """Show what trained runs look at: Grad-CAM of classes, or attention maps, laid over images."""
    from linnet.explain.inputs import draw, find_images
    from linnet.explain.maps import Wanted
    from linnet.explain.pictures import look

    runs, images = _sorted(arguments, root, members)
    target = out or runs[0].folder / "explain.html"
    if target.suffix.lower() not in (".html", *_FIGURES):
        raise RunError(f"--out {target}: give a page, .html, or a figure, {', '.join(_FIGURES)}")
    inputs = find_images(images, count or _MANY) if images else draw(runs[0], split, count or _FEW)
    wanted = Wanted(kind.value, name, level)
    views = [look(_named(run, runs), run.bundle, inputs, wanted) for run in runs]
    for note in (note for view in views for note in view.notes):
        tell(f"note: {note}")
    _write(target, inputs, views, runs, wanted.kind)


def _sorted(arguments: list[str], root: str | None, members: int | None) -> tuple[list[Run], list[str]]:
    """The runs, which come first, and what else is named.

    Raises:
        RunError: no run comes first.
    """
    from linnet.training.run import Run

    folders: list[str] = []
    while len(folders) < len(arguments) and (Path(arguments[len(folders)]) / "recipe.json").exists():
        folders.append(arguments[len(folders)])
    # Where nothing is a run, the error says what the first argument lacks.
    runs = [Run.open(folder, members) for folder in folders or arguments[:1]]
    if root is not None:
        for run in runs:
            run.recipe = run.recipe.change(root=root)
    return runs, arguments[len(folders) :]


def _named(run: Run, runs: list[Run]) -> str:
    """The run's folder, as far as it tells runs apart, and its row or method."""
    short = run.folder.resolve().name
    alike = sum(other.folder.resolve().name == short for other in runs) > 1
    return f"{run.folder if alike else short} ({run.recipe.row or run.recipe.method})"


def _write(target: Path, inputs: Inputs, views: list[View], runs: list[Run], kind: str) -> None:
    """The page or the figure, by the suffix."""
    from linnet.explain.scores import readable
    from linnet.report.explain_figure import MOST_ROWS, explain_figure
    from linnet.report.explain_page import explain_page

    truths = [readable(truth[max(truth)]) if truth else "" for truth in inputs.truths]
    if target.suffix.lower() in _FIGURES:
        if len(inputs.names) > MOST_ROWS:
            raise RunError(
                f"{len(inputs.names)} images; a figure takes {MOST_ROWS}: add --count, or write a page, .html"
            )
        explain_figure(inputs.names, truths, views, target)
        tell(f"figure: {target}")
        return
    called = "Grad-CAM" if kind == "grad-cam" else "Attention"
    about = [
        f"{view.name}: backbone {run.recipe.backbone}, {run.bundle.preprocessing.size} x "
        f"{run.bundle.preprocessing.size} pixels"
        for run, view in zip(runs, views, strict=True)
    ]
    size = explain_page(f"{called}, {len(inputs.names)} images", about, inputs.names, truths, views, target)
    tell(f"page: {target} ({size / 1e6:.1f} MB)")
