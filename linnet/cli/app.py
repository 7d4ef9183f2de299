"""The commands put together. A new one costs a file with `register(app)` and its name in `COMMANDS`."""

from __future__ import annotations

from errno import EACCES, EDQUOT, EIO, EISDIR, ELOOP, ENAMETOOLONG, ENOSPC, ENOTDIR, EPERM, EROFS
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from linnet.cli import (
    attributes,
    check,
    cost,
    demo,
    describe,
    discover,
    evaluate,
    explain,
    export,
    figure,
    index,
    predict,
    recipes,
    report,
    results,
    search,
    serve,
    split,
    sweep,
    train,
)
from linnet.cli.console import complain
from linnet.errors import LinnetError

__all__ = ["COMMANDS", "app"]

COMMANDS = (
    demo,
    check,
    train,
    evaluate,
    cost,
    sweep,
    split,
    attributes,
    describe,
    recipes,
    results,
    figure,
    explain,
    index,
    search,
    discover,
    export,
    predict,
    serve,
    report,
)


_OF_THE_MACHINE = frozenset({EACCES, EDQUOT, EIO, EISDIR, ELOOP, ENAMETOOLONG, ENOSPC, ENOTDIR, EPERM, EROFS})
"""Errors of the system that tell of a folder or disk, not of a fault of Linnet."""


class _Group(TyperGroup):
    """Meets a user's mistake with its message alone, and an interrupt without a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except LinnetError as error:
            complain(str(error))
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            complain("interrupted")
            raise typer.Exit(130) from None
        except OSError as error:
            if error.errno not in _OF_THE_MACHINE:
                raise
            where = f"{error.filename}: " if error.filename else ""
            complain(f"{where}{error.strerror}; name another place, or make this one writable with room to write")
            raise typer.Exit(2) from None

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.commands)


app = typer.Typer(
    cls=_Group,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Linnet takes an image collection from coarse labels to fine ones.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"linnet {version('linnet')}")
        raise typer.Exit


@app.callback()
def _options(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del show_version


for command in COMMANDS:
    command.register(app)
