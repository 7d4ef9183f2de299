"""The cache road's store: every image decoded once, at the working size, in one memory-mapped file for all runs.

A *working image* is an image scaled (antialiased) to a given shorter side, its aspect ratio kept; a smaller one stays
as it is. Views are cut from it and never from the file, so a view is the same whether the cache was there or not. The
folder is chosen by the images' root, the side, the filter and the decoder with its version. Images are appended to one
data file; a table beside it, replaced whole, names each with its file's size and time of change, its place and its
checksum. So an interrupted pass goes on where the table ends, and a changed file or a damaged entry is decoded anew.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import platform
import shutil
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from PIL.ImageFile import ImageFile

from linnet import files
from linnet.errors import RecipeError
from linnet.images.cache_file import Stamp, Writer, read_entries
from linnet.images.decode import BrokenImageError, decode, open_image
from linnet.images.jpeg import decoder_name
from linnet.images.memory import in_threads
from linnet.images.preprocessing import Interpolation
from linnet.images.resize import Pixels, resize, scaled_size

__all__ = ["ImageCache", "KeptImages"]

_VERSION = 1
_SAMPLE = 64
"""Headers that an estimate of the size reads."""
_NO_RESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)
"""Linux otherwise counts a mapping's whole length against the memory, and refuses a cache larger than that."""


@dataclass(frozen=True)
class KeptImages:
    """Working images of N positions, mapped into memory: a path and arrays are all that a worker is given.

    Attributes:
        path: the data file; `length` how much of it these images need, bytes.
        offsets, heights, widths: int64 (N,): where each begins, and its size in pixels.
    """

    path: Path
    length: int
    offsets: NDArray[np.int64]
    heights: NDArray[np.int64]
    widths: NDArray[np.int64]

    def __getitem__(self, position: int) -> Pixels:
        """One working image, uint8 (H, W, 3); writing to it changes no file."""
        start, height, width = (int(column[position]) for column in (self.offsets, self.heights, self.widths))
        return _mapped(self.path, self.length)[start : start + 3 * height * width].reshape(height, width, 3)


@lru_cache(maxsize=8)
def _mapped(path: Path, length: int) -> NDArray[np.uint8]:
    if not length:
        return np.empty(0, np.uint8)
    # Copy on write, because torch warns of arrays that cannot be written to.
    with path.open("rb") as stream:
        if platform.system() == "Linux":
            flags, protection = mmap.MAP_PRIVATE | _NO_RESERVE, mmap.PROT_READ | mmap.PROT_WRITE
            return np.frombuffer(mmap.mmap(stream.fileno(), length, flags, protection), np.uint8)
        return np.frombuffer(mmap.mmap(stream.fileno(), length, access=mmap.ACCESS_COPY), np.uint8)


class ImageCache:
    """Working images of the files under one root; see the module's text.

    Attributes:
        folder: where they lie; it may be deleted while no run uses it.
        side: length of the shorter side, pixels.
    """

    def __init__(
        self, root: Path, side: int, interpolation: Interpolation = "bilinear", *, within: Path | None = None
    ) -> None:
        """Find the cache of a root, or say where it would be: in `within`, by default the user's own cache folder."""
        self.side, self.interpolation = side, interpolation
        root = root.absolute()
        made_by = [_VERSION, str(root), side, interpolation, decoder_name(), torch.__version__]
        key = hashlib.sha256(json.dumps(made_by).encode()).hexdigest()[:16]
        self.folder = (within or files.cache_folder()) / "images" / f"{root.name or 'root'}-{side}px-{key}"
        self._entries = read_entries(self.folder)

    def lacking(self, paths: Sequence[str], stamps: Sequence[Stamp | None]) -> NDArray[np.bool_]:
        """Which files (n,) have no entry as long and as old as they are; a stamp of None stands for a missing file."""
        rows = self._rows(paths)
        known = np.stack([self._column("bytes"), self._column("changed_ns")], axis=1)
        given = np.asarray([stamp or (-1, -1) for stamp in stamps], dtype=np.int64).reshape(-1, 2)
        unlike: NDArray[np.bool_] = (np.append(known, [[-2, -2]], axis=0)[rows] != given).any(axis=1)
        return unlike

    def working(self, image: ImageFile) -> Pixels:
        """The working image of an opened file, uint8 (H, W, 3), contiguous.

        Raises:
            BrokenImageError: it cannot be decoded.
        """
        pixels = decode(image, reduce=min(image.size) / self.side)
        height, width = pixels.shape[:2]
        if min(height, width) > self.side:
            height, width = scaled_size(height, width, self.side)
        return np.ascontiguousarray(resize(pixels, height, width, self.interpolation))

    def images(self, paths: Sequence[str], workers: int = 1) -> tuple[KeptImages, NDArray[np.bool_]]:
        """Working images of files (n,), and which of them are damaged: their checksums differ, or they have no entry.

        Reads every image once, by `workers` threads, which also brings them into memory where that has room.
        """
        _mapped.cache_clear()  # a folder that was deleted and made anew has another file of the same name
        rows, names = self._rows(paths), ("offset", "height", "width", "crc32")
        offsets, heights, widths, sums = (np.append(self._column(name), 0)[rows] for name in names)
        ends = offsets + 3 * heights * widths
        path = self.folder / self._entries.data
        length = min(int(ends.max(initial=0)), path.stat().st_size if path.exists() else 0)
        kept = KeptImages(path, length, offsets, heights, widths)
        damaged = (rows < 0) | (ends > length)
        whole = np.flatnonzero(~damaged)
        found = list(in_threads(lambda position: zlib.crc32(kept[position].data), whole.tolist(), workers))
        damaged[whole] = np.asarray(found, dtype=np.int64) != sums[whole]
        return kept, damaged

    @contextmanager
    def writing(self) -> Iterator[Writer]:
        """Add and drop entries, as the one process that does; what was added counts also when the block fails.

        Raises:
            RecipeError: the folder cannot be written, or the disk is full.
        """
        try:
            files.make_folder(self.folder)
            with files.locked(self.folder / "lock"):
                writer = Writer(self.folder)
                self._entries = writer.entries
                try:
                    yield writer
                finally:
                    writer.save()
                    self._entries = writer.entries
        except OSError as error:
            raise RecipeError(
                f"road = 'cache': {self.folder} cannot be written ({error.strerror or error}); make room, set "
                "XDG_CACHE_HOME to a folder elsewhere, or use road = 'files'"
            ) from None

    def estimate(self, paths: Sequence[str]) -> int:
        """About how many bytes the working images of files take, from the headers of some of them.

        Raises:
            RecipeError: that is more than the disk has room for.
        """
        sizes = []
        for path in paths[:: max(1, len(paths) // _SAMPLE)]:
            try:
                with open_image(path) as image:
                    shrink = min(1.0, self.side / min(image.size))
                    sizes.append(3 * image.width * image.height * shrink**2)
            except BrokenImageError:
                continue
        wanted = int(sum(sizes) / max(1, len(sizes)) * len(paths))
        there = next(parent for parent in (self.folder, *self.folder.parents) if parent.exists())
        free = shutil.disk_usage(there).free
        if wanted > free:
            raise RecipeError(
                f"road = 'cache' would take about {wanted / 1e9:,.1f} GB in {self.folder}, which has {free / 1e9:,.1f} "
                "GB free; set XDG_CACHE_HOME to a folder elsewhere, or use road = 'files'"
            )
        return wanted

    def _rows(self, paths: Sequence[str]) -> NDArray[np.int64]:
        """Row of the table for each path, -1 without one."""
        found = pc.index_in(pa.array(paths, pa.string()), value_set=self._entries.table["path"])
        return np.asarray(pc.fill_null(found, -1)).astype(np.int64)

    def _column(self, name: str) -> NDArray[np.int64]:
        return np.asarray(self._entries.table[name].to_numpy(), dtype=np.int64)
