"""`linnet describe`: texts that describe classes become a table of attributes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from linnet.cli.console import tell

__all__ = ["describe", "register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(describe)


def describe(
    texts: Annotated[
        Path,
        typer.Argument(
            metavar="TEXTS",
            help="A table (CSV, TSV, Parquet, JSON lines): the class name, then one or more columns of text.",
        ),
    ],
    model: Annotated[str, typer.Option(help="A model of sentence-transformers: its folder, or its public name.")],
    out: Annotated[Path, typer.Option(help="Table of attributes to write: .npy, .csv or .tsv.")],
) -> None:
    """Turn texts that describe classes into vectors, for attributes=FILE; needs the package sentence-transformers."""
    from linnet import texts as words
    from linnet.attributes import write_attributes

    found = words.read_texts(texts)
    table = words.describe(found, words.open_encoder(model))
    write_attributes(table, out)
    count = sum(len(several) for several in found.values())
    tell(f"{len(table.names)} classes, {count} texts, {len(table.columns)} numbers each: {out}")
