"""`linnet split`: a table of images with fine labels on a part of them, drawn by a seed, from a fully labelled one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from linnet.cli.console import tell
from linnet.cli.train import read_settings
from linnet.errors import ManifestError, RecipeError

if TYPE_CHECKING:
    from linnet.manifest import Manifest

__all__ = ["register", "split"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(split)


def split(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="DATA [KEY=VALUE]",
            help="DATA: a known data set of files, a table of images, or a folder. Settings that say how it is read "
            "and which levels are meant may follow, such as coarse=family fine=species.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Table to write: .csv, .tsv, .parquet or .jsonl.")],
    label_fraction: Annotated[
        float | None,
        typer.Option(help="Share of each fine class that keeps its fine labels; the rest keeps coarse ones."),
    ] = None,
    coarse_fraction: Annotated[
        float | None, typer.Option(help="Share of each fine class kept with coarse labels; by default all the rest.")
    ] = None,
    validation: Annotated[
        float, typer.Option(help="Share of the training images that becomes a validation split.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Key of the draw.")] = 0,
    root: Annotated[str | None, typer.Option(help="Folder that holds the data set, or image paths.")] = None,
) -> None:
    """Write a table with fine labels on a part of the training images, as label_fraction in a recipe draws them."""
    from linnet.datasets import load_data
    from linnet.manifest import write_manifest
    from linnet.recipes.model import READING
    from linnet.training.part_labels import part_labelled

    stray = {argument.partition("=")[0] for argument in arguments[1:]} - {*READING, "coarse", "fine"}
    if stray:
        raise RecipeError(f"{', '.join(sorted(stray))}: split takes only {', '.join(READING)}, coarse and fine")
    recipe = read_settings(arguments, None, root).change(
        label_fraction=label_fraction, coarse_fraction=coarse_fraction, validation=validation, seed=seed
    )
    if label_fraction is None and not validation:
        raise ManifestError("nothing to split: give --label-fraction, or --validation, or both")
    if out.exists():
        raise ManifestError(f"{out} is already there; give another --out, or remove it")
    manifest = load_data(recipe.data, Path(recipe.root) if recipe.root else None, **recipe.reading())
    if manifest.pixels is not None:
        fraction = f"label_fraction={label_fraction:g}" if label_fraction is not None else f"validation={validation:g}"
        raise ManifestError(
            f"{recipe.data}: its images lie in arrays, and a table can only name files; set the share when training: "
            f"linnet train {recipe.data} {fraction}"
        )
    part = part_labelled(recipe, manifest)
    write_manifest(_rooted(part, out), out)
    _show(part, out)
    tell(f"train with: linnet train {out} ...")


def _rooted(manifest: Manifest, out: Path) -> Manifest:
    """The manifest with image paths that hold where `out` lies: relative below its folder, else absolute."""
    from dataclasses import replace

    import pyarrow as pa

    root, folder = manifest.root.absolute(), out.parent.absolute()
    paths = [root / name for name in manifest.images.to_pylist()]
    told = [path.relative_to(folder) if path.is_relative_to(folder) else path for path in paths]
    return replace(manifest, root=folder, images=pa.array([str(path) for path in told], pa.string()))


def _show(manifest: Manifest, out: Path) -> None:
    """How many images of each split have a label at each level, and how many a class has."""
    levels = manifest.taxonomy.levels
    table = Table(title=f"{out}: images with a label (per class)", title_justify="left", title_style="bold")
    for heading in ("split", "images", *levels):
        table.add_column(heading, justify="left" if heading == "split" else "right")
    for name in manifest.split_names or (None,):
        targets = manifest.targets[manifest.rows(name)]
        counts = [Counter(column[column >= 0].tolist()) for column in targets.T]
        cells = [f"{sum(count.values()):,} ({_range(count)})" if count else "none" for count in counts]
        table.add_row(name or "all", f"{len(targets):,}", *cells)
    Console().print(table)


def _range(count: Counter[int]) -> str:
    """The fewest and the most images of a class that has any."""
    least, most = min(count.values()), max(count.values())
    return str(least) if least == most else f"{least} to {most}"
