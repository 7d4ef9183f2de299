"""One pass over the images: each file is read and decoded once, in threads, and leaves some 350 bytes behind."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ImageFile import ImageFile

from linnet import files
from linnet.doctor.looks import LOOK, look_of
from linnet.images.check import cores, image_bar
from linnet.images.decode import BrokenImageError, decode, open_image, upright_size
from linnet.images.memory import in_threads
from linnet.manifest import Manifest

__all__ = ["Scan", "scan_images"]

_LEAST = 32
"""Shorter side, pixels, that a JPEG is decoded to at least: twice that of a look. Its data are read to the end."""


@dataclass(frozen=True, eq=False)
class Scan:
    """What one pass learnt of N images.

    Attributes:
        widths, heights: int32 (N,), pixels, upright; 0 where an image is broken.
        several: bool (N,), files with more than one frame or page.
        digests: uint8 (N, 32), SHA-256 of the file's content, or of the pixels of a set that comes as arrays.
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

    def look(row: int) -> str | None:
        try:
            if manifest.pixels is not None:
                _see_pixels(scan, row, manifest.pixels[row])
            else:
                _see_file(scan, row, manifest.path(row))
        except BrokenImageError as error:
            return str(error)
        return None

    with image_bar("looking at images", count, progress) as step:
        for row, reason in enumerate(in_threads(look, range(count), workers or cores(), block=1024)):
            if reason is not None:
                scan.broken[row] = reason
            step()
    return scan


def _see_pixels(scan: Scan, row: int, pixels: NDArray[np.uint8]) -> None:
    scan.heights[row], scan.widths[row] = pixels.shape[:2]
    scan.digests[row] = np.frombuffer(hashlib.sha256(np.ascontiguousarray(pixels).data).digest(), np.uint8)
    scan.looks[row] = look_of(pixels)


def _see_file(scan: Scan, row: int, path: Path) -> None:
    """Note what a file holds.

    Raises:
        BrokenImageError: it cannot be decoded.
    """
    image = open_image(path)
    size, several = upright_size(image), _has_several(image)
    pixels = decode(image, reduce=min(image.size) / _LEAST)
    try:
        scan.digests[row] = np.frombuffer(bytes.fromhex(files.digest(path)), np.uint8)
    except OSError as error:
        raise BrokenImageError(error.strerror or str(error)) from None
    scan.looks[row] = look_of(pixels)
    scan.widths[row], scan.heights[row] = size
    scan.several[row] = several


def _has_several(image: Image.Image | ImageFile) -> bool:
    """More than one frame or page. A phone's JPEG with a depth map or a preview behind it (MPO) is one picture."""
    try:
        return image.format != "MPO" and bool(getattr(image, "is_animated", False))
    except Exception:  # a damaged later frame; the first one decides whether the file is broken
        return True
