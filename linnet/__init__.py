"""Linnet takes an image collection from coarse labels to fine ones.

    import linnet

    run = linnet.train("photos.csv", method="coins", backbone="resnet18", pretrained=True, epochs=30)
    print(run.evaluate().figures)
    vectors = run.embed(["new-1.jpg", "new-2.jpg"])

Importing it loads no torch; the first training or opening of a run does.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linnet.errors import LinnetError, RecipeError
from linnet.manifest import Manifest, read_manifest
from linnet.taxonomy import Taxonomy

if TYPE_CHECKING:
    from linnet.training.run import Run

__all__ = ["LinnetError", "Manifest", "Taxonomy", "open_run", "read_manifest", "train"]


def train(
    data: str | Path | Manifest,
    out: str | Path | None = None,
    *,
    recipe: str | None = None,
    resume: bool = False,
    progress: bool | None = None,
    options: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Run:
    """Train a method and return the run.

    Args:
        data: a manifest, a table or folder of images, or a known data set ("cifar100", with `root="folder"`).
            A table's columns of labels can be named: `levels=["kind", "breed"]`.
        out: the run folder; "runs/<data>-<method>" when not given.
        recipe: name of a recipe to start from, such as "cifar100/coins".
        resume: go on with the run that `out` holds.
        progress: show a progress bar; None shows it on a terminal.
        options: the method's own settings whose names are no Python words: `options={"lambda": 0.2}`.
        settings: recipe settings and method options: `method="coins", epochs=30, scope="all"`.

    Raises:
        LinnetError: a setting, the data, or the run folder is not as it must be; the message says what to do.
    """
    _check_given(data, options)
    from linnet.recipes import resolve
    from linnet.training.api import train as train_recipe

    manifest = data if isinstance(data, Manifest) else None
    name = manifest.source if manifest is not None else str(data)
    settings |= {key: str(value) for key, value in settings.items() if isinstance(value, Path)}
    chosen = resolve(recipe, {**settings, "options": dict(options or {}), "data": name})
    folder = Path(out) if out is not None else Path("runs") / f"{Path(name).stem}-{chosen.method}"
    return train_recipe(chosen, folder, manifest, resume=resume, progress=progress)


def _check_given(data: object, options: object) -> None:
    """Refuse data and options of another kind before anything is read.

    Raises:
        RecipeError: says what is allowed.
    """
    if not isinstance(data, (str, Path, Manifest)) or (isinstance(data, str) and not data.strip()):
        raise RecipeError(
            f"data = {data!r}: give a table or folder of images, a known data set such as 'cifar100', or a manifest "
            "(linnet.read_manifest makes one)"
        )
    if options is not None and not isinstance(options, Mapping):
        raise RecipeError(f"options = {options!r}: give names and values, such as options={{'lambda': 0.2}}")


def open_run(folder: str | Path, members: int | None = None) -> Run:
    """Open a finished run's folder, of an ensemble with its first `members` alone where they are given.

    Raises:
        RunError: it is no run folder, or its training has not finished.
    """
    from linnet.training.run import Run

    return Run.open(folder, members)
