"""One pass over the images: each file is read and decoded once, in threads, and leaves some 350 bytes behind."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ImageFile import ImageFile

from linnet.doctor.looks import LOOK, SIDE, looks_of, small_of
from linnet.images.check import cores, image_bar
from linnet.images.decode import BrokenImageError, decode, open_image, upright_size
from linnet.images.memory import in_threads
from linnet.manifest import Manifest

__all__ = ["Scan", "scan_images"]

_LEAST = 32
"""Shorter side, pixels, that a JPEG is decoded to at least: twice that of a look. Its data are read to the end."""
_TOGETHER = 32
"""Images that a thread takes at once: handing them over one by one takes as long as opening them."""
_MOST = 1 << 26
"""Bytes of a file up to which it is read as a whole."""
_END = 1 << 13
"""Bytes at either end of a file by which equal ones are looked for; those found are compared whole."""


@dataclass(frozen=True, eq=False)
class Scan:
    """What one pass learnt of N images.

    Attributes:
        widths, heights: int32 (N,), pixels, upright; 0 where an image is broken.
        several: bool (N,), files with more than one frame or page.
        digests: uint8 (N, 32), SHA-256 of a file's length, head and tail, or of the pixels of a set of arrays: images
            that are equal have one, and nearly always only they.
        looks: uint8 (N, LOOK), see `looks`.
        broken: why an image cannot be used, by row.
    """

    widths: NDArray[np.int32]
    heights: NDArray[np.int32]
    several: NDArray[np.bool_]
    digests: NDArray[np.uint8]
    looks: NDArray[np.uint8]
    broken: dict[int, str]

    @property
    def whole(self) -> NDArray[np.bool_]:
        """Which images could be decoded, bool (N,)."""
        result = np.ones(len(self.widths), np.bool_)
        result[list(self.broken)] = False
        return result


def scan_images(manifest: Manifest, workers: int = 0, progress: bool = False) -> Scan:
    """Read and decode every image of a manifest, and go on past those that are broken.

    A JPEG is decoded at an eighth of its size where it is large; its data are read to the end, so that a truncated
    one is found as it is by decoding in full.

    Args:
        manifest: its images.
        workers: decoding threads; 0 takes one for each core this process may use.
        progress: show a bar, on a terminal only.
    """
    count = len(manifest)
    scan = Scan(
        widths=np.zeros(count, np.int32),
        heights=np.zeros(count, np.int32),
        several=np.zeros(count, np.bool_),
        digests=np.zeros((count, 32), np.uint8),
        looks=np.zeros((count, LOOK), np.uint8),
        broken={},
    )

    workers = workers or cores()
    together = max(1, min(_TOGETHER, count // (4 * workers)))

    def look(first: int) -> list[tuple[int, str]]:
        """See some rows, and return those that are broken, and why."""
        rows, broken = range(first, min(first + together, count)), []
        small = np.zeros((len(rows), SIDE, SIDE, 3), np.uint8)
        for place, row in enumerate(rows):
            try:
                pixels = None if manifest.pixels is None else manifest.pixels[row]
                small[place] = _see_file(scan, row, manifest.path(row)) if pixels is None else _see(scan, row, pixels)
            except BrokenImageError as error:
                broken.append((row, str(error)))
        scan.looks[first : first + len(rows)] = looks_of(small)
        return broken

    starts = range(0, count, together)
    with image_bar("looking at images", count, progress) as step:
        for first, broken in zip(starts, in_threads(look, starts, workers, block=64), strict=True):
            scan.broken.update(broken)
            for _ in range(first, min(first + together, count)):
                step()
    return scan


def _see(scan: Scan, row: int, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Note what an array holds, and return it in small."""
    scan.heights[row], scan.widths[row] = pixels.shape[:2]
    scan.digests[row] = np.frombuffer(hashlib.sha256(np.ascontiguousarray(pixels).data).digest(), np.uint8)
    return small_of(pixels)


def _see_file(scan: Scan, row: int, path: Path) -> NDArray[np.uint8]:
    """Note what a file holds, and return it in small.

    Raises:
        BrokenImageError: it cannot be decoded.
    """
    source, told = _read(path)
    image = open_image(source)
    size, several = upright_size(image), _has_several(image)
    small = small_of(decode(image, reduce=min(image.size) / _LEAST))
    scan.digests[row] = np.frombuffer(hashlib.sha256(told).digest(), np.uint8)
    scan.widths[row], scan.heights[row] = size
    scan.several[row] = several
    return small


def _read(path: Path) -> tuple[Path | bytes, bytes]:
    """A file's content, its path where that would be too much; and its length, head and tail.

    Raises:
        BrokenImageError: it is not there, or cannot be read.
    """
    try:
        with path.open("rb", buffering=0) as stream:
            length = os.fstat(stream.fileno()).st_size
            if length <= _MOST:
                content = stream.read()
                return content, b"%d " % len(content) + content[:_END] + content[-_END:]
            head = stream.read(_END)
            stream.seek(-_END, os.SEEK_END)
            return path, b"%d " % length + head + stream.read()
    except FileNotFoundError:
        raise BrokenImageError("no such file") from None
    except OSError as error:
        raise BrokenImageError(error.strerror or str(error)) from None


def _has_several(image: Image.Image | ImageFile) -> bool:
    """More than one frame or page. A phone's JPEG with a depth map or a preview behind it (MPO) is one picture."""
    try:
        return image.format != "MPO" and bool(getattr(image, "is_animated", False))
    except Exception:  # a damaged later frame; the first one decides whether the file is broken
        return True
