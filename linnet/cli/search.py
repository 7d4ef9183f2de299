"""`linnet search`: the images of an index that are nearest to some images."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from linnet.cli.console import tell
from linnet.errors import RecipeError

if TYPE_CHECKING:
    from linnet.search import Hits, Index

__all__ = ["register", "search"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(search)


def search(
    folder: Annotated[Path, typer.Argument(metavar="INDEX", help="Folder that linnet index wrote.")],
    images: Annotated[
        list[str] | None,
        typer.Argument(metavar="[IMAGE...]", help="Files, folders, or patterns such as 'photos/*.jpg'."),
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many to show for each image.")] = 10,
    row: Annotated[list[int] | None, typer.Option(help="Look for the neighbours of this row of the index.")] = None,
    within: Annotated[
        str | None, typer.Option(help="Only images of the query's class at this level: coarse, as the net says it.")
    ] = None,
    name: Annotated[str | None, typer.Option("--class", help="Only images of this class.")] = None,
    vectors: Annotated[
        Path | None, typer.Option(help="Look for these, (n, D): .npy, or .parquet with a column of lists.")
    ] = None,
    approximate: Annotated[bool, typer.Option(help="By the index that linnet index --approximate built.")] = False,
    run: Annotated[Path | None, typer.Option(help="The run that made the index, where it was moved.")] = None,
    engine: Annotated[str, typer.Option(help="What runs the net, as of linnet index.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
) -> None:
    """Find the images of an index that are nearest to yours, by cosine; exactly unless asked otherwise."""
    from linnet.explain.inputs import find_images
    from linnet.search import Index
    from linnet.search.given import read_vectors
    from linnet.search.queries import Queries, embed_images, embedder_of

    if as_json and as_csv:
        raise RecipeError("--json and --csv: give one of them")
    if sum(map(bool, (images, row, vectors))) != 1:
        raise RecipeError("say what to look for: images, or rows of the index with --row, or a file with --vectors")
    index = Index.open(folder)
    if within not in (None, "coarse", index.taxonomy.levels[index.coarse_level]):
        raise RecipeError(
            f"--within {within}: only within the coarse level, {index.taxonomy.levels[index.coarse_level]!r}; for a "
            "class of another level name it: --class NAME"
        )
    if row:
        queries = Queries.of_rows(index, row)
    elif vectors is not None:
        queries = Queries.of_vectors(read_vectors(vectors))
    else:
        inputs = find_images(images or [], sys.maxsize)
        queries = embed_images(embedder_of(index, run, engine), inputs.images)
    hits = queries.search(index, k, within=within is not None, name=name, approximate=approximate)
    classes = [name] * len(queries.names) if name else queries.coarse if within else [""] * len(queries.names)
    found = [_found(index, hits, number) for number in range(len(queries.names))]
    if as_json:
        told = zip(queries.names, classes, found, strict=True)
        answers = [{"query": query, "within": each or None, "hits": those} for query, each, those in told]
        typer.echo(json.dumps(answers, indent=2, ensure_ascii=False))
    elif as_csv:
        _print_csv(index, queries.names, found)
    else:
        _print_tables(index, queries.names, classes, found)


def _found(index: Index, hits: Hits, number: int) -> list[dict[str, Any]]:
    """What was found for one query."""
    pairs = zip(hits.rows[number].tolist(), hits.scores[number].tolist(), strict=True)
    return [
        {
            "rank": rank,
            "row": row,
            "image": index.names[row],
            "file": index.file(row),
            "score": round(score, 6),
            "split": index.splits[row] or None,
            "labels": index.labels(row),
        }
        for rank, (row, score) in enumerate(pairs, start=1)
        if row >= 0
    ]


def _print_csv(index: Index, names: list[str], found: list[list[dict[str, Any]]]) -> None:
    levels = index.taxonomy.levels
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["query", "rank", "row", "score", "image", "split", *levels])
    for query, those in zip(names, found, strict=True):
        for hit in those:
            labels = [hit["labels"].get(level, "") for level in levels]
            told = [hit["rank"], hit["row"], f"{hit['score']:.6f}", hit["image"], hit["split"] or ""]
            writer.writerow([query, *told, *labels])


def _print_tables(index: Index, names: list[str], classes: list[str], found: list[list[dict[str, Any]]]) -> None:
    levels = index.taxonomy.levels
    console = Console()
    for query, within, those in zip(names, classes, found, strict=True):
        title = f"{query}{f', within {within}' if within else ''}"
        table = Table(title=Text(title), title_justify="left", title_style="bold")
        for heading in ("rank", "score", "row", "image", "split", *levels):
            table.add_column(heading, justify="right" if heading in ("rank", "score", "row") else "left")
        for hit in those:
            labels = [hit["labels"].get(level, "") for level in levels]
            cells = [
                str(hit["rank"]),
                f"{hit['score']:.4f}",
                str(hit["row"]),
                hit["image"],
                hit["split"] or "",
                *labels,
            ]
            table.add_row(*(Text(cell, overflow="fold") for cell in cells))
        console.print(table)
    if not any(found):
        tell("nothing was found")
