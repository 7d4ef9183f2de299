"""What the doctor finds: a stable code, how bad it is, what it concerns, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from linnet.manifest import Manifest

__all__ = ["Finding", "Item", "Severity", "finding", "item_content", "place"]


class Severity(StrEnum):
    """How bad a finding is: figures or training would be wrong; probably a mistake; worth knowing."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"

    @property
    def rank(self) -> int:
        """0 for an error, 2 for a note."""
        return list(Severity).index(self)


@dataclass(frozen=True)
class Item:
    """One case of a finding.

    Attributes:
        says: what is the matter with it, or which classes it is about.
        rows: rows of the manifest that it concerns, 0-based.
        classes: names of the classes that it concerns.
    """

    says: str = ""
    rows: tuple[int, ...] = ()
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding:
    """A kind of defect and all its cases.

    Attributes:
        code: its stable name for programs, such as "duplicate-leak".
        severity: how bad it is.
        title: what was found, with its count, in one line.
        advice: what to do.
        items: every case, the worst first.
    """

    code: str
    severity: Severity
    title: str
    advice: str
    items: tuple[Item, ...] = ()

    @property
    def count(self) -> int:
        """Number of cases; 1 for a finding about the collection as a whole."""
        return max(1, len(self.items))


def finding(code: str, severity: Severity, title: str, advice: str, items: Sequence[Item]) -> list[Finding]:
    """A finding with its cases, or none where there are no cases; {n} in the title is their number."""
    return [Finding(code, severity, title.format(n=f"{len(items):,}"), advice, tuple(items))] if items else []


def place(manifest: Manifest, row: int) -> str:
    """Where a row stands, for a line: 'a.jpg (photos.csv, line 2)', or a folder's file alone."""
    image, where = str(manifest.images[row].as_py()), manifest.where(row)
    return where if where.endswith(image) else f"{image} ({Path(where).name})"


def item_content(item: Item, manifest: Manifest | None) -> dict[str, Any]:
    """A case for JSON: what it says, its classes, and the number, file and place of every row."""
    rows = (
        []
        if manifest is None
        else [
            {"row": row, "image": str(manifest.images[row].as_py()), "where": manifest.where(row)} for row in item.rows
        ]
    )
    return {"says": item.says, "classes": list(item.classes), "rows": rows}
