"""What the doctor finds: a stable code, how bad it is, what it concerns, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from linnet.manifest import Manifest

__all__ = ["Code", "Finding", "Item", "Severity", "finding", "item_content", "place"]


class Severity(StrEnum):
    """How bad a finding is: figures or training would be wrong; probably a mistake; worth knowing."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"

    @property
    def rank(self) -> int:
        """0 for an error, 2 for a note."""
        return list(Severity).index(self)


class Code(StrEnum):
    """What the doctor knows to look for. Programs read these words: one that is taken back is not used again."""

    MANIFEST_REFUSED = "manifest-refused"
    MISSING_FILE = "missing-file"
    EMPTY_FILE = "empty-file"
    NOT_AN_IMAGE = "not-an-image"
    TRUNCATED_IMAGE = "truncated-image"
    BOMB = "bomb"
    DAMAGED_IMAGE = "damaged-image"
    SEVERAL_FRAMES = "several-frames"
    HUGE_IMAGE = "huge-image"
    TINY_IMAGE = "tiny-image"
    LONG_IMAGE = "long-image"
    BLANK_IMAGE = "blank-image"
    DUPLICATE_LEAK = "duplicate-leak"
    DUPLICATE_CONFLICT = "duplicate-conflict"
    DUPLICATE = "duplicate"
    NEAR_DUPLICATE_LEAK = "near-duplicate-leak"
    NEAR_DUPLICATE_CONFLICT = "near-duplicate-conflict"
    NEAR_DUPLICATE = "near-duplicate"
    TOO_ALIKE = "too-alike"
    SPLIT_MISSING = "split-missing"
    NO_TRAINING_SPLIT = "no-training-split"
    NO_TEST_SPLIT = "no-test-split"
    UNLABELLED = "unlabelled"
    BLANK_LABELS = "blank-labels"
    UNEQUAL_DEPTH = "unequal-depth"
    ONLY_CHILD = "only-child"
    ONE_CLASS = "one-class"
    SINGLETON = "singleton"
    IMBALANCE = "imbalance"
    EMPTY_CLASS = "empty-class"
    CLASS_WITHOUT_TRAINING = "class-without-training"
    CLASS_WITHOUT_TEST = "class-without-test"
    ALIKE_NAMES = "alike-names"
    NAME_SUFFIX = "name-suffix"
    UNDESCRIBED = "undescribed"
    EMPTY_DESCRIPTION = "empty-description"
    ALIKE_SIBLINGS = "alike-siblings"
    CONSTANT_ATTRIBUTE = "constant-attribute"
    PASSED_OVER = "passed-over"


@dataclass(frozen=True, slots=True)
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
        code: its stable name for programs.
        severity: how bad it is.
        title: what was found, with its count, in one line.
        advice: what to do.
        items: every case, the worst first.
    """

    code: Code
    severity: Severity
    title: str
    advice: str
    items: tuple[Item, ...] = ()

    @property
    def count(self) -> int:
        """Number of cases; 1 for a finding about the collection as a whole."""
        return max(1, len(self.items))


def finding(code: Code, severity: Severity, title: str, advice: str, items: Sequence[Item]) -> list[Finding]:
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
