"""Antialiased resizing of 8-bit pixels, and the evaluation view: torchvision's geometry by torch's own kernel.

The kernel that torchvision's v2 resize of 8-bit tensors calls: a triangle or cubic filter, widened when shrinking, as
Pillow's (which rounds a few values in a hundred the other way, by one level of 255). It is several times faster than
Pillow where the processor has AVX2, and gives the same bits where it has not.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional

from linnet.images.preprocessing import Interpolation, Preprocessing

__all__ = ["Box", "Pixels", "centre_crop", "put", "resize", "scaled_size"]

Pixels = NDArray[np.uint8]
"""An image, uint8 (H, W, 3), RGB."""

Box = tuple[int, int, int, int]
"""Top, left, height, width, in pixels."""

_LONG = 16
"""Longer side over shorter side above which an image is not enlarged as a whole: one of 1 x 50,000 pixels would take
9.8 GB with a shorter side of 256."""
_REACH = 3
"""Pixels beside a place that an enlarging filter takes in at most (bicubic: 2), and one to spare."""


def resize(
    pixels: Pixels, height: int, width: int, interpolation: Interpolation = "bilinear", box: Box | None = None
) -> Pixels:
    """An image, or a box of it, at another size: uint8 (H, W, 3) to (height, width, 3).

    Pixels outside of the box have no say. The result may be a view of the input where nothing changes.
    """
    if box is not None:
        top, left, tall, wide = box
        pixels = pixels[top : top + tall, left : left + wide]
    if pixels.shape[:2] == (height, width):
        return pixels
    image = torch.from_numpy(pixels)[None].permute(0, 3, 1, 2)
    scaled = functional.interpolate(image, (height, width), mode=interpolation, antialias=True)
    result: Pixels = scaled[0].permute(1, 2, 0).numpy()
    return result


def scaled_size(height: int, width: int, short: int) -> tuple[int, int]:
    """Height and width once the shorter side is `short`, the longer one rounded down as torchvision does."""
    return (int(short * height / width), short) if width <= height else (short, int(short * width / height))


def centre_crop(pixels: Pixels, preprocessing: Preprocessing) -> Pixels:
    """Scale the shorter side and cut the centre, (size, size, 3): torchvision's Resize and CenterCrop.

    Takes no more memory than the image does, or 16 squares of the shorter side.
    """
    height, width = pixels.shape[:2]
    short, size = preprocessing.short_side, preprocessing.size
    least, scaled = min(height, width), (height, width)
    if least != short:
        scaled = scaled_size(height, width, short)
    top, left = round((scaled[0] - size) / 2), round((scaled[1] - size) / 2)
    if least < short and max(height, width) > _LONG * least:
        return _enlarged(pixels, scaled, top, left, preprocessing)
    if least != short:
        pixels = resize(pixels, *scaled, preprocessing.interpolation)
    return pixels[top : top + size, left : left + size]


def _enlarged(pixels: Pixels, scaled: tuple[int, int], top: int, left: int, preprocessing: Preprocessing) -> Pixels:
    """The centre of an image as it would be enlarged to `scaled`, and nothing else of it, (size, size, 3).

    By Pillow, which resizes boxes with edges between pixels: a few values in a hundred differ from torch's by one
    level of 255, rarely by two.
    """
    size = preprocessing.size
    cuts, edges = [], []
    for length, whole, start in zip(pixels.shape, scaled, (top, left), strict=False):
        first, last = start * length / whole, (start + size) * length / whole
        cut = slice(max(0, math.floor(first) - _REACH), min(length, math.ceil(last) + _REACH))
        cuts.append(cut)
        edges.append((first - cut.start, min(last, cut.stop) - cut.start))
    (upper, lower), (before, behind) = edges
    kind = Image.Resampling.BICUBIC if preprocessing.interpolation == "bicubic" else Image.Resampling.BILINEAR
    part = Image.fromarray(np.ascontiguousarray(pixels[cuts[0], cuts[1]]))
    # Across first, as torch: Pillow takes whichever order is cheaper, and each pass rounds.
    part = part.resize((size, part.height), kind, box=(before, 0, behind, part.height))
    return np.array(part.resize((size, size), kind, box=(0, upper, size, lower)))


def put(view: Pixels, into: Pixels, up: int, left: int, mirror: bool) -> None:
    """Copy a view into an image of its size, moved up and to the left by whole pixels, then mirrored; what is left
    free becomes black.
    """
    if up or left:
        height, width = into.shape[:2]
        rows, columns = slice(max(0, -up), height - max(0, up)), slice(max(0, -left), width - max(0, left))
        into[:] = 0
        if rows.start < rows.stop and columns.start < columns.stop:
            into[rows, columns] = view[rows.start + up : rows.stop + up, columns.start + left : columns.stop + left]
        view = into
    if mirror:  # torch has a kernel for this, and numpy copies pixel by pixel
        view = torch.from_numpy(view)[None].permute(0, 3, 1, 2).flip(3)[0].permute(1, 2, 0).numpy()
    if view is not into:
        into[:] = view
