"""What commands print: messages to stderr, figures as a table to stdout."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.table import Table
from rich.text import Text

from linnet.metrics.units import unit

__all__ = ["complain", "is_main", "show_figures", "show_log", "tell"]


def is_main() -> bool:
    """Whether this is the one process of several (torchrun) that prints."""
    return os.environ.get("RANK", "0") == "0"


def complain(message: str) -> None:
    """One red message on stderr."""
    Console(stderr=True).print(Text(message, style="red"), soft_wrap=True)


def tell(message: str) -> None:
    """A plain line on stderr, so that stdout keeps to what was asked for."""
    if is_main():
        Console(stderr=True).print(Text(message), soft_wrap=True)


class _Teller(logging.Handler):
    """Tells what is logged; a warning in whichever process it comes up."""

    def emit(self, record: logging.LogRecord) -> None:
        if is_main() or record.levelno >= logging.WARNING:
            Console(stderr=True).print(Text(record.getMessage()), soft_wrap=True)


@contextmanager
def show_log() -> Iterator[None]:
    """Show on stderr what the package logs meanwhile, from level info on, such as which engine does the arithmetic."""
    logger, teller = logging.getLogger("linnet"), _Teller()
    level = logger.level
    logger.addHandler(teller)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(teller)


def show_figures(
    title: str, figures: Mapping[str, float], chance: Mapping[str, float], published: Mapping[str, float]
) -> None:
    """A table of metrics, percent; chance and the paper's figures beside them where there are any."""
    if not is_main():
        return
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("metric")
    table.add_column("%", justify="right")
    for heading, column in (("chance", chance), ("paper", published)):
        if column:
            table.add_column(heading, justify="right")
    for name, value in figures.items():
        beside = [_number(column.get(name)) for column in (chance, published) if column]
        shown = "" if unit(name) == "%" else f" {unit(name)}"
        table.add_row(name, f"{value:.2f}{shown}", *beside)
    Console().print(table)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
