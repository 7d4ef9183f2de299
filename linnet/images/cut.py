"""The two views of an image file: the evaluation view, and the random resized crop or window of training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL.ImageFile import ImageFile

from linnet.images.augment import crop_boxes
from linnet.images.decode import BrokenImageError, decode, open_image, upright_size
from linnet.images.preprocessing import Augmentation, Preprocessing
from linnet.images.resize import Box, Pixels, centre_crop, resize

__all__ = ["crop_pixels", "evaluation_pixels"]


def evaluation_pixels(path: Path | str, preprocessing: Preprocessing) -> Pixels:
    """The evaluation view of a file, uint8 (size, size, 3).

    Raises:
        BrokenImageError: it cannot be decoded.
    """
    image = open_image(path)
    return centre_crop(decode(image, reduce=min(image.size) / preprocessing.short_side), preprocessing)


def crop_pixels(
    paths: Sequence[Path | str],
    preprocessing: Preprocessing,
    augmentation: Augmentation,
    seed: int,
    epoch: int,
    positions: NDArray[np.int64],
) -> list[Pixels | BrokenImageError]:
    """The random resized crops or windows of files for (seed, epoch, position), not yet flipped; all are open at once.

    Args:
        paths, positions: of the same images, (n,).

    Returns:
        For each file uint8 (size, size, 3), or why it has none.
    """
    opened = [_opened(path) for path in paths]
    sizes = [(1, 1) if isinstance(each, BrokenImageError) else each[1] for each in opened]
    width, height = np.asarray(sizes, dtype=np.int64).reshape(-1, 2).T
    boxes = crop_boxes(augmentation, seed, epoch, positions, height, width)
    return [
        each if isinstance(each, BrokenImageError) else _cut(*each, tuple(box), preprocessing)
        for each, box in zip(opened, boxes.tolist(), strict=True)
    ]


def _opened(path: Path | str) -> tuple[ImageFile, tuple[int, int]] | BrokenImageError:
    """An opened file and its upright size, or what is wrong with it."""
    try:
        image = open_image(path)
        return image, upright_size(image)
    except BrokenImageError as error:
        return error


def _cut(image: ImageFile, size: tuple[int, int], box: Box, preprocessing: Preprocessing) -> Pixels | BrokenImageError:
    """Decode and cut; where the file is decoded at a smaller scale, at whole pixels of that scale."""
    top, left, tall, wide = box
    side = preprocessing.size
    try:
        pixels = decode(image, reduce=min(tall, wide) / side)
    except BrokenImageError as error:
        return error
    width, height = size
    if pixels.shape[:2] != (height, width):
        down, across = pixels.shape[0] / height, pixels.shape[1] / width
        first = round(top * down), round(left * across)
        last = round((top + tall) * down), round((left + wide) * across)
        box = *first, max(1, last[0] - first[0]), max(1, last[1] - first[1])
    return resize(pixels, side, side, preprocessing.interpolation, box)
