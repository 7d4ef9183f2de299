"""Vectors written in parts, each with its checksum, so that what was interrupted goes on behind the last whole part.

The vectors of a part are on disk before the journal speaks of it. A journal that belongs to something else, to other
images or another bundle, is not used; neither is a part whose vectors, or whose images, are not what they were.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linnet import files
from linnet.search.card import Part, part_digest

__all__ = ["HEADER", "JOURNAL", "Parts"]

HEADER, JOURNAL = "building.json", "building.jsonl"

Vectors = NDArray[np.float32]


class Parts:
    """Rows being added to a file of vectors, behind its first `base` rows.

    Attributes:
        parts: what is there already, and added since.
        coarse: int64, for every row of `parts` the coarse class that was predicted, -1 without one.
    """

    def __init__(self, folder: Path, file: str, dim: int, base: int, identity: dict[str, Any]) -> None:
        self._folder, self._path, self._dim, self._base = folder, folder / file, dim, base
        self._identity = json.loads(json.dumps({**identity, "file": file, "dim": dim, "base": base}))
        self._length = 0
        self.parts: list[Part] = []
        self.coarse: list[NDArray[np.int64]] = []

    @property
    def rows(self) -> int:
        """How many rows were added."""
        return sum(part.rows for part in self.parts)

    def resume(self, images: Callable[[int, int], str]) -> int:
        """Take up what an interrupted call left, or begin anew; how many rows are there.

        `images`: what identifies the images of rows start to stop; a part of others is made again.
        """
        header, journal = self._folder / HEADER, self._folder / JOURNAL
        if not header.exists() or _read(header) != self._identity:
            files.remove(journal)
            files.write_json(header, self._identity)
            return 0
        for line in journal.read_bytes().splitlines(keepends=True) if journal.exists() else []:
            found = self._sound(line, images)
            if found is None:
                break
            self.parts.append(found[0])
            self.coarse.append(found[1])
            self._length += len(line)
        files.truncate(journal, self._length)
        return self.rows

    def _sound(self, line: bytes, images: Callable[[int, int], str]) -> tuple[Part, NDArray[np.int64]] | None:
        """The part that a line of the journal speaks of, None where it does not hold."""
        try:
            said = json.loads(line)
            part, coarse = Part(int(said["rows"]), said["sha256"]), np.asarray(said["coarse"], np.int64)
            if said["check"] != _check(said) or not line.endswith(b"\n"):
                return None
        except (ValueError, KeyError, TypeError):
            return None
        if images(self.rows, self.rows + part.rows) != said["images"]:
            return None
        width = 4 * self._dim
        there = part_digest(self._path, (self._base + self.rows) * width, part.rows * width) if self._there() else ""
        return (part, coarse) if there == part.sha256 else None

    def _there(self) -> bool:
        return self._path.exists()

    def add(self, vectors: Vectors, coarse: NDArray[np.int64], images: str) -> None:
        """Write a part: unit vectors (n, D), the predicted coarse classes (n,), what identifies the images."""
        block = np.ascontiguousarray(vectors, dtype="<f4")
        content = block.data.cast("B")
        files.append_bytes(self._path, [content], (self._base + self.rows) * 4 * self._dim)
        said: dict[str, Any] = {"rows": len(block), "sha256": hashlib.sha256(content).hexdigest()}
        said |= {"images": images, "coarse": coarse.tolist()}
        line = json.dumps(said | {"check": _check(said)})
        files.truncate(self._folder / JOURNAL, self._length)
        self._length = files.append_line(self._folder / JOURNAL, line)
        self.parts.append(Part(len(block), said["sha256"]))
        self.coarse.append(coarse)

    def done(self) -> None:
        """Forget the journal: the card speaks of all parts."""
        files.remove(self._folder / HEADER)
        files.remove(self._folder / JOURNAL)


def _check(said: dict[str, Any]) -> str:
    kept = {name: said[name] for name in ("rows", "sha256", "images", "coarse")}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None
