"""The command line: one file a command, each with a `register` that app.py calls."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line on `arguments` (None = the process's own) and exit.

    Exit codes: 0 done, 1 a fault of Linnet (with its traceback), 2 a mistake in what was given (one message),
    3 `linnet check` found something as grave as --fail-on says, 130 interrupted.
    """
    from linnet.cli.app import app

    app(None if arguments is None else list(arguments), prog_name="linnet")
