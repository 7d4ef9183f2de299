"""Coarse classes of public data sets, as tables that ship with Linnet: class name, tab, the names above it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files

from linnet.errors import DataError, nearest
from linnet.hierarchy import first_few
from linnet.taxonomy import Taxonomy

__all__ = ["coarse_table", "grouped", "table_lines"]


@cache
def coarse_table(name: str) -> Mapping[str, str]:
    """Class name to coarse class name: "awa2", "cub", "dogs" or "nabirds"."""
    return {line[0]: line[1] for line in table_lines(name)}


def table_lines(name: str) -> list[tuple[str, ...]]:
    """The cells of each line of a table that ships. Lines that start with # are comments."""
    text = (files("linnet.datasets") / "tables" / f"{name}.tsv").read_text(encoding="utf-8")
    return [tuple(line.split("\t")) for line in text.splitlines() if line and not line.startswith("#")]


def grouped(names: Sequence[str], groups: Mapping[str, str], source: str) -> Taxonomy:
    """The levels ("coarse", "fine"): fine classes in the order given, coarse ones sorted by name.

    Raises:
        DataError: a name that the table does not have, with the nearest; or one that is there twice.
    """
    unknown = [f"{name!r}{nearest(name, groups)}" for name in names if name not in groups]
    twice = [repr(name) for name in _repeated(names)]
    if unknown or twice:
        raise DataError(
            f"{source}: class names that are {'not the official ones' if unknown else 'there twice'}:\n"
            f"{first_few(unknown or twice)}\nMend the list of classes, or unpack the official archive again; for "
            "classes of your own, write a table with the columns image, split, coarse and fine."
        )
    coarse = tuple(sorted({groups[name] for name in names}))
    at = {name: number for number, name in enumerate(coarse)}
    return Taxonomy(("coarse", "fine"), (coarse, tuple(names)), ((), tuple(at[groups[name]] for name in names)))


def _repeated(names: Iterable[str]) -> list[str]:
    seen: set[str] = set()
    return [name for name in names if name in seen or seen.add(name)]  # type: ignore[func-returns-value]
