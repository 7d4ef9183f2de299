"""Feature maps on disk: records of one size, end to end in one data file, and a table that names each.

The data file is written before the table that speaks of it, and the table is replaced whole: an interrupted pass goes
on where the table ends, and a record whose checksum differs is found before it is used.
"""

from __future__ import annotations

import json
import logging
import time
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from linnet import files
from linnet.images.memory import in_threads

__all__ = ["FeatureFile", "Maps"]

Maps = NDArray[np.float16]
"""Feature maps of n images: float16 (n, 2, H, W, D), of the image as it is and of its mirror image."""

_logger = logging.getLogger("linnet")

_TABLE = "maps.parquet"
_SECONDS = 15.0
"""While records are added the table is written this often; what lies beyond it is computed again after a crash."""
_SCHEMA = pa.schema([("image", pa.string()), ("crc32", pa.int64())])


class FeatureFile:
    """The feature maps in one folder; who adds to them holds the folder's lock.

    Attributes:
        folder: where they lie; it may be deleted at any time.
        shape: (2, H, W, D) of a record; () while there is none.
    """

    def __init__(self, folder: Path) -> None:
        """Read the table; none where there is no table yet, or one that cannot be read, which is said."""
        self.folder = folder
        self.shape: tuple[int, ...] = ()
        self._data = "maps-0.bin"
        self._images: list[str] = []
        self._sums: list[int] = []
        self._saved_at = time.monotonic()
        if (folder / _TABLE).exists():
            try:
                table = pq.read_table(folder / _TABLE)
                images, sums = table["image"].to_pylist(), table["crc32"].to_pylist()
                self._data = files.inside(folder, table.schema.metadata[b"data"].decode()).name
                self.shape = tuple(json.loads(table.schema.metadata[b"shape"]))
                self._images, self._sums = images, sums
            except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
                _logger.warning(
                    "%s: the table of feature maps cannot be read (%s); they are computed again", folder, error
                )
                # Another process may still read the old ones.
                self._data = f"maps-{len(list(folder.glob('maps-*.bin')))}.bin"

    def places(self, images: Sequence[str]) -> NDArray[np.int64]:
        """Record of each image, by what identifies it, int64 (n,); -1 without one."""
        at = {image: place for place, image in enumerate(self._images)}
        return np.asarray([at.get(image, -1) for image in images], dtype=np.int64)

    def sound(self, places: NDArray[np.int64], workers: int = 1) -> NDArray[np.bool_]:
        """Which records (n,) are what was written, by their checksums; reads them all, which brings them into memory.

        A place of -1 is not sound.
        """
        found = np.zeros(len(places), dtype=np.bool_)
        maps = self.maps()
        there = np.flatnonzero((places >= 0) & (places < len(maps)))
        sums = in_threads(lambda n: zlib.crc32(maps[places[n]].data), there.tolist(), workers)
        found[there] = [total == self._sums[places[n]] for n, total in zip(there.tolist(), sums, strict=True)]
        return found

    def maps(self) -> Maps:
        """All records that lie on disk whole, mapped into memory."""
        path, size = self.folder / self._data, self._bytes()
        count = min(path.stat().st_size // size if size and path.exists() else 0, len(self._images))
        if not count:
            return np.empty((0, *self.shape), dtype=np.float16)
        return np.memmap(path, np.float16, mode="r", shape=(count, *self.shape))

    def drop(self, places: Iterable[int]) -> None:
        """Forget records; their room is not used again."""
        for place in places:
            self._images[place] = ""

    def add(self, images: Sequence[str], maps: Maps) -> None:
        """Write the maps of images behind all others.

        Raises:
            ValueError: they are of another shape than those that are there.
        """
        self.shape = self.shape or maps.shape[1:]
        if maps.shape[1:] != self.shape:
            raise ValueError(f"maps of {maps.shape[1:]} among others of {self.shape}")
        records = [np.ascontiguousarray(record).data.cast("B") for record in maps]
        files.append_bytes(self.folder / self._data, records, len(self._images) * self._bytes())
        self._images += images
        self._sums += [zlib.crc32(record) for record in records]
        if time.monotonic() - self._saved_at > _SECONDS:
            self.save()

    def save(self) -> None:
        """Write the table."""
        table = pa.table({"image": self._images, "crc32": self._sums}, schema=_SCHEMA)
        with files.atomic_path(self.folder / _TABLE) as aside:
            about = {"shape": json.dumps(self.shape), "data": self._data}
            pq.write_table(table.replace_schema_metadata(about), aside)
        self._saved_at = time.monotonic()

    def _bytes(self) -> int:
        """Bytes of a record; 0 while there is none."""
        return int(2 * np.prod(self.shape)) if self.shape else 0
