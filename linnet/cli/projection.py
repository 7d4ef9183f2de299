"""`linnet figure projection`: embeddings of one run or several in the plane (paper 000, Fig. 6)."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from linnet.cli.console import tell
from linnet.errors import RunError

__all__ = ["projection"]


class _Kind(Enum):
    PCA = "pca"
    TSNE = "tsne"
    BOTH = "both"


def projection(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders, of one data set.")],
    out: Annotated[Path, typer.Option(help="The picture, .png, .pdf or .svg.")],
    kind: Annotated[_Kind, typer.Option(help="How the plane is found.")] = _Kind.TSNE,
    classes: Annotated[
        str | None, typer.Option(help="Coarse classes whose fine classes are coloured: Tern,Gull; by default four.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Which images; by default test.")] = None,
    count: Annotated[int, typer.Option(min=5, help="How many of them, at most.")] = 1000,
    root: Annotated[str | None, typer.Option(help="Folder that now holds the data set, or image paths.")] = None,
) -> None:
    """Draw where a run's embeddings lie, by coarse class and by fine class: before and after, of two runs."""
    from linnet.explain.projection import choose_classes, embed_rows, projections, rows_to_show
    from linnet.explain.scores import readable
    from linnet.report.projection_figure import Labelled, projection_figure
    from linnet.training.run import Run

    runs = [Run.open(folder) for folder in folders]
    for run in runs:
        run.recipe = run.recipe.change(root=root) if root is not None else run.recipe
    rows, data = rows_to_show(runs[0], split, count), runs[0].load()
    drawn = []
    for run in runs:
        if run.load().manifest.images.to_pylist() != data.manifest.images.to_pylist():
            raise RunError(f"{run.folder} is of other images than {runs[0].folder}; draw each by itself")
        for cloud in embed_rows(run, rows):
            heading = f"{run.folder.resolve().name}: {cloud.name}"
            for each in projections(cloud.embedding, kind.value):
                drawn.append((heading, each))
                tell(f"{heading}: {each.method}, trustworthiness {each.trust:.3f}")
    taxonomy, targets = data.manifest.taxonomy, data.manifest.targets[rows]
    coarse, fine = ([readable(name) for name in taxonomy.classes[level]] for level in (data.coarse, data.fine))
    chosen = choose_classes(data, rows, classes)
    projection_figure(drawn, Labelled(targets[:, data.coarse], targets[:, data.fine], coarse, fine, chosen), out)
    tell(f"figure: {out}")
