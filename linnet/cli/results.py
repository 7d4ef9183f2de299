"""`linnet results`: the recorded figures as tables, on the terminal or in a document."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from linnet.cli.console import tell
from linnet.errors import RunError

__all__ = ["RECORD", "register", "results"]

RECORD = Path("docs/results/results.jsonl")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(results)


def results(
    record: Annotated[Path, typer.Argument(help="File of results, as evaluate --record writes it.")] = RECORD,
    dataset: Annotated[str | None, typer.Option(help="Only this data set.")] = None,
    protocol: Annotated[str | None, typer.Option(help="Only this protocol.")] = None,
    split: Annotated[str, typer.Option(help="The split that figures are of.")] = "test",
    update: Annotated[
        Path | None, typer.Option(help="Renew the tables between <!-- results:DATASET --> marks of this document.")
    ] = None,
) -> None:
    """Show recorded results as Markdown tables, with chance and the paper's figures beside them."""
    from linnet.manifest_read import normal_split
    from linnet.report.results import read_results
    from linnet.report.tables import render, update_document

    found = read_results(record)
    if not found:
        raise RunError(f"{record}: no results; record some with: linnet evaluate RUN --record {record}")
    if update is None:
        typer.echo(render(found, dataset=dataset, protocol=protocol, split=normal_split(split)))
        return
    changed = update_document(update, found)
    tell(f"{update}: {'tables renewed' if changed else 'tables are up to date'}")
