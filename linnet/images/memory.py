"""The memory road's store: every image as uint8, decoded once, kept on the device with its black border."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from linnet.images.augment import pad
from linnet.images.broken import Broken, raise_broken
from linnet.images.cut import evaluation_pixels
from linnet.images.decode import BrokenImageError, open_image, quiet, upright_size
from linnet.images.preprocessing import Augmentation, Preprocessing
from linnet.images.resize import centre_crop
from linnet.manifest import Manifest

__all__ = ["BUDGET", "SMALL", "fits_in_memory", "in_threads", "load_pixels", "store"]

BUDGET = 1 << 30
"""Bytes of pixels that "auto" keeps on the device."""

SMALL = 96
"""Longest side, pixels, of files that "auto" decodes once instead of every epoch."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(
    work: Callable[[Item], Result], items: Sequence[Item], workers: int, block: int = 4096
) -> Iterator[Result]:
    """`map(work, items)` in `workers` threads, in order; decoders and checksums run without the interpreter lock.

    `block`: items under way or waiting for the caller at once; a million would take a gigabyte of futures alone.
    """
    with quiet(), ThreadPoolExecutor(max(1, workers)) as pool:
        for start in range(0, len(items), block):
            yield from pool.map(work, items[start : start + block])


def fits_in_memory(
    manifest: Manifest, rows: NDArray[np.int64], preprocessing: Preprocessing, augmentation: Augmentation
) -> bool:
    """Whether "auto" takes the memory road: arrays always; files of one small size if they fit the budget.

    Headers are read up to the first that says no. A resized crop wants the whole image, so there the
    files must have the input's own size. What cannot be opened is left to the road chosen by the rest,
    which names it.
    """
    if manifest.pixels is not None:
        return True
    if len(rows) * 3 * preprocessing.size**2 > BUDGET:
        return False
    seen: set[tuple[int, int]] = set()
    for row in rows.tolist():
        try:
            with quiet(), open_image(manifest.path(row)) as image:
                seen.add(upright_size(image))
        except BrokenImageError:
            continue
        if len(seen) > 1 or max(max(seen)) > SMALL:
            return False
    whole = seen == {(preprocessing.size, preprocessing.size)}
    return len(seen) == 1 and (whole or not augmentation.of_whole)


def load_pixels(
    manifest: Manifest, rows: NDArray[np.int64], preprocessing: Preprocessing, workers: int
) -> NDArray[np.uint8]:
    """The evaluation view of every row, uint8 (N, size, size, 3).

    Raises:
        ImageError: some images cannot be decoded; names every one and its row.
    """
    size = preprocessing.size
    given = manifest.pixels
    if given is not None and given.shape[1:3] == (size, size) and preprocessing.short_side == size:
        return given[rows]
    pixels = np.empty((len(rows), size, size, 3), np.uint8)

    def load(place: int) -> Broken | None:
        row = int(rows[place])
        if given is not None:
            pixels[place] = centre_crop(given[row], preprocessing)
            return None
        try:
            pixels[place] = evaluation_pixels(manifest.path(row), preprocessing)
        except BrokenImageError as error:
            return Broken(row, str(error))
        return None

    raise_broken(manifest, [found for found in in_threads(load, range(len(rows)), workers) if found], len(rows))
    return pixels


def store(pixels: NDArray[np.uint8], padding: int, device: torch.device, *, channels_last: bool) -> Tensor:
    """Pixels (N, H, W, 3) as uint8 (N, 3, H + 2 padding, W + 2 padding) on the device, border black."""
    images = torch.from_numpy(np.ascontiguousarray(pixels)).to(device).permute(0, 3, 1, 2)
    if not channels_last:
        images = images.contiguous()
    return pad(images, padding)
