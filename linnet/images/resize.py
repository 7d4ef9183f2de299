"""Antialiased resizing of 8-bit pixels, and the evaluation view: torchvision's geometry by torch's own kernel.

The kernel that torchvision's v2 resize of 8-bit tensors calls: a triangle or cubic filter, widened when shrinking, as
Pillow's (which rounds a few values in a hundred the other way, by one level of 255). It is several times faster than
Pillow where the processor has AVX2, and gives the same bits where it has not.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from linnet.images.preprocessing import Interpolation, Preprocessing

__all__ = ["Box", "Pixels", "centre_crop", "put", "resize", "scaled_size"]

Pixels = NDArray[np.uint8]
"""An image, uint8 (H, W, 3), RGB."""

Box = tuple[int, int, int, int]
"""Top, left, height, width, in pixels."""


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
    """Scale the shorter side and cut the centre, (size, size, 3): torchvision's Resize and CenterCrop."""
    height, width = pixels.shape[:2]
    short, size = preprocessing.short_side, preprocessing.size
    if min(height, width) != short:
        height, width = scaled_size(height, width, short)
        pixels = resize(pixels, height, width, preprocessing.interpolation)
    top, left = round((height - size) / 2), round((width - size) / 2)
    return pixels[top : top + size, left : left + size]


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
