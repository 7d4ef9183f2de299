"""`index.json`: what an index holds and the checksums of its files; written last, so that it speaks of what is there.

The folder of an index:

    index.json           the card: format, sizes, checksums, what made the vectors, how the images were read
    vectors-G.f32        unit vectors, float32, row after row; what lies behind the last row of the card does not count
    rows-G.parquet       a line a row: image, split, where it came from, its classes
    building.json(l)     while vectors are added: what is being done, and the parts that are
    lock                 held by whoever writes
"""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from linnet import files
from linnet.errors import RunError
from linnet.images.check import cores

__all__ = ["CARD", "FORMAT", "Card", "Part", "locked_index", "part_digest", "read_card", "verify", "write_card"]

FORMAT = 1
"""The version of the folder that this Linnet reads and writes."""

CARD = "index.json"

_BLOCK = 1 << 22


@dataclass(frozen=True)
class Part:
    """Some rows that were written together, and the SHA-256 of their vectors."""

    rows: int
    sha256: str


@dataclass(frozen=True)
class Card:
    """The content of index.json.

    Attributes:
        dim: D.
        vectors: name of the file of vectors; `parts` are its rows from the first one on.
        table: name of the file of rows, and `table_sha256` its checksum.
        taxonomy: as `Taxonomy.to_json` gives it.
        embedder: what made the vectors, see `embedders`.
        sources: how the images were read, see `collection`.
        lost: by 16-bit type, the greatest length that rounding takes from a row (see `metrics.unit_vectors`).
        approximate: what faiss made of the vectors, see `approximate`; None without.
        about: versions and dates.
    """

    dim: int
    vectors: str
    parts: tuple[Part, ...]
    table: str
    table_sha256: str
    taxonomy: dict[str, Any]
    embedder: dict[str, Any]
    sources: tuple[dict[str, Any], ...]
    lost: dict[str, float]
    approximate: dict[str, Any] | None = None
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """N."""
        return sum(part.rows for part in self.parts)


def write_card(folder: Path, card: Card) -> None:
    """Write index.json, atomically: from then on the folder is what the card says."""
    content = {"format": FORMAT, "rows": card.rows, **asdict(card)}
    content["parts"] = [[part.rows, part.sha256] for part in card.parts]
    files.write_json(folder / CARD, content | {"sha256": _digest(content)})


def locked_index(folder: Path) -> AbstractContextManager[None]:
    """Hold an index's folder for writing; who has to wait for another call is told so."""
    return files.locked(folder / "lock", f"another call writes the index {folder}")


def read_card(folder: Path) -> Card:
    """Read index.json.

    Raises:
        RunError: it is not there, of another format, or was changed.
    """
    path = folder / CARD
    if not path.exists():
        if (folder / "building.json").exists():
            raise RunError(f"{folder}: indexing has not finished; the same command again goes on where it was")
        raise RunError(f"{folder}: no index ({CARD} is not there); make one with: linnet index RUN DATA --out {folder}")
    content = files.read_json(path)
    given = content.get("format") if isinstance(content, dict) else None
    if given != FORMAT:
        raise RunError(f"{path}: format {given!r}, this Linnet opens format {FORMAT}")
    written = content.pop("sha256", None)
    if written != _digest(content):
        raise RunError(f"{path}: changed since it was written (its checksum differs); copy it again, or index again")
    names = ("format", "rows")
    card = Card(**{name: value for name, value in content.items() if name not in names})
    parts = tuple(Part(int(rows), str(sha)) for rows, sha in content["parts"])
    return replace(card, parts=parts, sources=tuple(content["sources"]))


def _digest(content: dict[str, Any]) -> str:
    canonical = json.dumps({name: value for name, value in content.items() if name != "sha256"}, sort_keys=True)
    return hashlib.sha256(json.dumps(json.loads(canonical), sort_keys=True).encode()).hexdigest()


def verify(folder: Path, card: Card) -> None:
    """Compare the folder's files with the card's checksums, reading all of them.

    Raises:
        RunError: one is missing, cut short or changed; names it.
    """
    remedy = "it was changed or copied in part: copy the folder again, or index again"
    table, vectors = files.inside(folder, card.table), files.inside(folder, card.vectors)
    for path in (table, vectors):
        if not path.is_file():
            raise RunError(f"{path}: no such file, though {CARD} names it; copy the folder again, or index again")
    if files.digest(table) != card.table_sha256:
        raise RunError(f"{table}: its checksum differs from {CARD}; {remedy}")
    wanted = card.rows * card.dim * 4
    if vectors.stat().st_size < wanted:
        raise RunError(f"{vectors}: {vectors.stat().st_size:,} bytes, and {CARD} speaks of {wanted:,}; {remedy}")
    starts, at = [], 0
    for part in card.parts:
        starts.append(at)
        at += part.rows

    def sound(number: int) -> bool:
        part = card.parts[number]
        return part_digest(vectors, starts[number] * card.dim * 4, part.rows * card.dim * 4) == part.sha256

    with ThreadPoolExecutor(cores()) as pool:
        for number, good in enumerate(pool.map(sound, range(len(card.parts)))):
            if not good:
                last = starts[number] + card.parts[number].rows - 1
                raise RunError(f"{vectors}: rows {starts[number]} to {last} are not what was written; {remedy}")


def part_digest(path: Path, start: int, length: int) -> str:
    """SHA-256 of `length` bytes of a file from `start` on."""
    state = hashlib.sha256()
    with path.open("rb") as stream:
        stream.seek(start)
        while length and (piece := stream.read(min(_BLOCK, length))):
            state.update(piece)
            length -= len(piece)
    return state.hexdigest()
