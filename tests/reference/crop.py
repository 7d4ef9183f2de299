"""Pad-crop, resized crop, flip and normalisation, one image and one pixel at a time."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from linnet.randomness import uniforms

__all__ = ["augmented", "resized_view"]


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


def resized_view(
    image: NDArray[np.uint8], size: int, flip: bool, seed: int, epoch: int, position: int
) -> NDArray[np.float64]:
    """The random resized crop of one image uint8 (H, W, 3), float64 (size, size, 3), 0 to 255.

    Ten tries of an area share in 0.08 to 1 and a ratio in 3/4 to 4/3 (draws 3, 4, then 5, 6, ...), the first that fits;
    the triangle filter, which widens when shrinking; the key's draws 0 flip, 1 top, 2 left.
    """
    draws = uniforms(seed, "augment", epoch, [position], 23)[0].astype(float)
    height, width = image.shape[:2]
    for attempt in range(10):
        area = height * width * (0.08 + draws[3 + 2 * attempt] * 0.92)
        aspect = math.exp(math.log(3 / 4) + draws[4 + 2 * attempt] * (math.log(4 / 3) - math.log(3 / 4)))
        wide, tall = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < wide <= width and 0 < tall <= height:
            break
    else:
        raise ValueError("no try fits; give the oracle an image that is nearly square")
    top, left = int(draws[1] * (height - tall + 1)), int(draws[2] * (width - wide + 1))
    out = np.zeros((size, size, 3))
    for y in range(size):
        for x in range(size):
            down, across = _weights(y, size, tall), _weights(x, size, wide)
            for row, weight in enumerate(down):
                for column, other in enumerate(across):
                    out[y, x] += weight * other * image[top + row, left + column]
    return out[:, ::-1] if flip and draws[0] < 0.5 else out


def _weights(place: int, outputs: int, inputs: int) -> list[float]:
    """How much each of `inputs` pixels counts for output `place`."""
    ratio = inputs / outputs
    centre, reach = (place + 0.5) * ratio, max(1.0, ratio)
    weights = [max(0.0, 1 - abs(pixel + 0.5 - centre) / reach) for pixel in range(inputs)]
    return [weight / sum(weights) for weight in weights]
