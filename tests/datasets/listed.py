"""Small stand-ins for the official lists of CUB-200-2011 and NABirds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

Row = tuple[str, str, str]
"""Path, class id, 1 or 0."""


def write_lists(folder: Path, classes: Mapping[str, str], rows: Mapping[str, Row]) -> Path:
    """The four lists in `folder`, from class id to name and image id to its row."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = {
        "images.txt": {key: row[0] for key, row in rows.items()},
        "image_class_labels.txt": {key: row[1] for key, row in rows.items()},
        "train_test_split.txt": {key: row[2] for key, row in rows.items()},
        "classes.txt": classes,
    }
    for name, pairs in columns.items():
        (folder / name).write_text("".join(f"{key} {text}\n" for key, text in pairs.items()), encoding="utf-8")
    return folder


def change(path: Path, old: str, new: str) -> None:
    """Replace text that must be there."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
