"""What the image cache keeps on disk: a data file of pixels end to end, and the table of its entries."""

from __future__ import annotations

import logging
import time
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from linnet import files
from linnet.images.resize import Pixels

__all__ = ["Entries", "Stamp", "Writer", "read_entries"]

Stamp = tuple[int, int]
"""Bytes, and time of last change in nanoseconds, of an image file."""

_logger = logging.getLogger("linnet")

_TABLE = "images.parquet"
_BLOCK = 128
"""Images written at once."""
_SECONDS = 15.0
"""While images are added the table is written this often; what lies beyond it is decoded again after a crash."""
_SPARE = 1 << 26
"""Bytes of dropped entries that the data file may hold beside as many as it has live ones."""

_SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("bytes", pa.int64()),
        ("changed_ns", pa.int64()),
        ("offset", pa.int64()),
        ("height", pa.int64()),
        ("width", pa.int64()),
        ("crc32", pa.int64()),
    ]
)


@dataclass(frozen=True)
class Entries:
    """The table, one row an image (columns: `_SCHEMA`), and the name of the data file that it speaks of."""

    table: pa.Table
    data: str = "pixels-0.bin"

    @property
    def live(self) -> int:
        """Bytes of the data file that entries speak of."""
        return int(3 * np.dot(self.table["height"].to_numpy(), self.table["width"].to_numpy()))

    @property
    def length(self) -> int:
        """Where the last entry ends in the data file, bytes, a dropped one too: another process may still read that."""
        offset, height, width = (self.table[name].to_numpy() for name in ("offset", "height", "width"))
        end = (self.table.schema.metadata or {}).get(b"end", b"0")
        return max(int((offset + 3 * height * width).max(initial=0)), int(end))


def read_entries(folder: Path) -> Entries:
    """The entries of a cache; none where there is no table yet, or one that cannot be read, which is said."""
    none = Entries(_SCHEMA.empty_table())
    if not (folder / _TABLE).exists():
        return none
    try:
        table = pq.read_table(folder / _TABLE)
        data = (table.schema.metadata or {})[b"data"].decode()
        entries = Entries(table.cast(_SCHEMA.with_metadata(table.schema.metadata)), files.inside(folder, data).name)
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        _logger.warning("%s: the table of kept images cannot be read (%s); they are decoded again", folder, error)
        return none
    return entries


class Writer:
    """Adds entries to a cache and drops them; its user holds the cache's lock.

    Attributes:
        entries: as far as they are on disk.
    """

    def __init__(self, folder: Path) -> None:
        """Go on where the table ends; a data file that is mostly dropped entries is begun anew."""
        self.folder, self.entries = folder, read_entries(folder)
        path = folder / self.entries.data
        there = path.stat().st_size if path.exists() else 0
        self._superseded: Path | None = None
        if there > 2 * self.entries.live + _SPARE and self.entries.length > 2 * self.entries.live + _SPARE:
            self._superseded, number = path, int(path.stem.split("-")[1]) + 1
            self.entries = Entries(_SCHEMA.empty_table(), f"pixels-{number}.bin")
        self._end = self.entries.length
        self._waiting: list[tuple[str, Stamp, Pixels]] = []
        self._added: list[tuple[object, ...]] = []
        self._dropped: list[str] = []
        self._saved_at = time.monotonic()

    def add(self, path: str, stamp: Stamp, pixels: Pixels) -> None:
        """Add an image, in place of what its path had."""
        self._waiting.append((path, stamp, pixels))
        if len(self._waiting) >= _BLOCK:
            self._append()
        if time.monotonic() - self._saved_at > _SECONDS:
            self.save()

    def drop(self, paths: Iterable[str]) -> None:
        """Drop the entries of files."""
        self._dropped.extend(paths)

    def save(self) -> None:
        """Write what waits, then the table that speaks of it."""
        self._append()
        self._saved_at = time.monotonic()
        if not self._added and not self._dropped and self._superseded is None:
            return
        fresh = pa.Table.from_pylist([dict(zip(_SCHEMA.names, row, strict=True)) for row in self._added], _SCHEMA)
        replaced = pa.array([*self._dropped, *fresh["path"].to_pylist()], pa.string())
        kept = self.entries.table.filter(pc.invert(pc.is_in(self.entries.table["path"], value_set=replaced)))
        table = pa.concat_tables([kept.replace_schema_metadata(None), fresh]).combine_chunks()
        table = table.replace_schema_metadata({"data": self.entries.data, "end": str(self._end)})
        with files.atomic_path(self.folder / _TABLE) as aside:
            pq.write_table(table, aside)
        self.entries, self._added, self._dropped = replace(self.entries, table=table), [], []
        if self._superseded is not None:
            files.remove(self._superseded)
            self._superseded = None

    def _append(self) -> None:
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        rows, end = list[tuple[object, ...]](), self._end
        for path, stamp, pixels in waiting:
            rows.append((path, *stamp, end, *pixels.shape[:2], zlib.crc32(pixels.data)))
            end += pixels.size
        content = (pixels.data for _, _, pixels in waiting)
        self._end = files.append_bytes(self.folder / self.entries.data, content, self._end)
        self._added.extend(rows)  # last: on a full disk the table must not name what is not there
