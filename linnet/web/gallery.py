"""Small pictures of the collection's images, made when they are first looked at and kept in memory up to a bound."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from threading import Lock

from linnet.images.decode import BrokenImageError, decode, open_image
from linnet.images.resize import Pixels
from linnet.web.pictures import jpeg, thumbnail
from linnet.web.problems import Problem, not_found

__all__ = ["SIDES", "Gallery"]

SIDES = (96, 192, 384, 1024)
"""The sizes there are: the longer side, pixels."""

_SMALL = 48
"""Below so many pixels a picture is enlarged by whole times, as 32 x 32 would be drawn blurred by a browser."""


class Gallery:
    """Pictures by row.

    Args:
        image: a row to its file, or to its pixels uint8 (H, W, 3), as they are.
        count: how many rows there are.
        most: bytes to keep.
    """

    def __init__(self, image: Callable[[int], Path | Pixels], count: int, most: int) -> None:
        self.image, self.count, self._most = image, count, most
        self._kept: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._size, self._lock = 0, Lock()

    def picture(self, row: int, side: int) -> bytes:
        """A JPEG of an image, at the least of `SIDES` that has `side` pixels.

        Raises:
            Problem: 404 no such row or its file is gone, 422 it cannot be decoded.
        """
        if not 0 <= row < self.count:
            raise not_found(f"There are images 0 to {self.count - 1}, not {row}.")
        side = next((each for each in SIDES if each >= side), SIDES[-1])
        with self._lock:
            if (row, side) in self._kept:
                self._kept.move_to_end((row, side))
                return self._kept[row, side]
        content = jpeg(self._pixels(row, side))
        with self._lock:
            self._size += len(content) - len(self._kept.get((row, side), b""))
            self._kept[row, side] = content
            while self._size > self._most:
                self._size -= len(self._kept.popitem(last=False)[1])
        return content

    def _pixels(self, row: int, side: int) -> Pixels:
        image = self.image(row)
        if isinstance(image, Path):
            image = _decoded(row, image, side)
        if max(image.shape[:2]) <= _SMALL:
            times = max(1, min(side, 192) // max(image.shape[:2]))
            image = image.repeat(times, 0).repeat(times, 1)
        return thumbnail(image, side)


def _decoded(row: int, file: Path, side: int) -> Pixels:
    try:
        opened = open_image(file)
        return decode(opened, max(1.0, max(opened.size) / side))
    except BrokenImageError as error:
        if not file.exists():
            raise not_found(f"The file of image {row} is gone: {file}") from None
        raise Problem(422, "broken-image", f"Image {row} cannot be decoded ({error}): {file}") from None
