"""How broken images are told to the user: all of them in one error, each with its place in the manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from linnet.errors import ImageError
from linnet.manifest import Manifest

__all__ = ["SHOWN", "Broken", "raise_broken", "summary"]

SHOWN = 20
"""How many broken images an error lists before it only counts."""

_REMEDY = (
    "Mend or replace these files, or take their rows out (of a folder: the files). None is ever replaced by another "
    "image, because an image's row is its label."
)


@dataclass(frozen=True)
class Broken:
    """One image that cannot be used: its row in the manifest (0-based) and why."""

    row: int
    reason: str


def raise_broken(manifest: Manifest, broken: Sequence[Broken], looked_at: int) -> None:
    """Raise one error for all broken images; return when there are none.

    Raises:
        ImageError: names the first `SHOWN` with their rows, counts the rest, and says what to do.
    """
    if broken:
        found = sorted(broken, key=lambda one: one.row)
        lines = [f"{_place(manifest, one.row)}: {one.reason}" for one in found]
        raise ImageError(f"{summary(manifest.source, lines, looked_at)}\n{_REMEDY}")


def _place(manifest: Manifest, row: int) -> str:
    """The row and its file, told once where the row is named by its file, as in a folder."""
    where, path = manifest.where(row), str(manifest.path(row))
    return where if Path(where) == Path(path) else f"{where}: {path}"


def summary(source: str, lines: Sequence[str], looked_at: int) -> str:
    """The text of the error: how many of how many, and a line for each of the first `SHOWN`."""
    more = [f"and {len(lines) - SHOWN:,} more"] if len(lines) > SHOWN else []
    listed = "\n  ".join([*lines[:SHOWN], *more])
    return f"{source}: {len(lines):,} of {looked_at:,} images cannot be used:\n  {listed}"
