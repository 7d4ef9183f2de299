"""Pad-crop, flip and normalisation, one image and one pixel at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from linnet.randomness import uniforms

__all__ = ["augmented"]


def augmented(
    image: NDArray[np.uint8],
    padding: int,
    flip: bool,
    seed: int,
    epoch: int,
    position: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> NDArray[np.float64]:
    """One image uint8 (H, W, 3) as float64 (3, H, W); its key's draws are 0 flip, 1 top, 2 left."""
    draws = uniforms(seed, "augment", epoch, [position], 3)[0].astype(float)
    top, left = int(draws[1] * (2 * padding + 1)), int(draws[2] * (2 * padding + 1))
    height, width = image.shape[:2]
    out = np.zeros((3, height, width))
    for y in range(height):
        for x in range(width):
            from_y = y + top - padding
            from_x = (width - 1 - x if flip and draws[0] < 0.5 else x) + left - padding
            inside = 0 <= from_y < height and 0 <= from_x < width
            for channel in range(3):
                value = float(image[from_y, from_x, channel]) if inside else 0.0
                out[channel, y, x] = (value / 255 - mean[channel]) / std[channel]
    return out
