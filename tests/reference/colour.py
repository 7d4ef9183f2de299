"""Colour augmentation one pixel and one step at a time: brightness, contrast, saturation, hue, grey."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from linnet.randomness import uniforms

__all__ = ["recoloured"]


def recoloured(
    image: NDArray[np.float64], strength: float, grayscale: float, seed: int, epoch: int, position: int
) -> NDArray[np.float64]:
    """One image (H, W, 3), 0 to 255, as (H, W, 3), cut off to that range at the very end.

    Draws: 0 brightness, 1 contrast, 2 saturation, 3 hue, 4 whether these at all (8 in 10), 5 grey.
    """
    draws = uniforms(seed, "colour", epoch, [position], 6)[0].astype(float)
    out = np.zeros_like(image)
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            red, green, blue = (float(value) for value in image[y, x])
            if draws[4] < 0.8:
                red, green, blue = _jittered(red, green, blue, strength, draws)
            if draws[5] < grayscale:
                red = green = blue = _luminance(red, green, blue)
            out[y, x] = [min(255.0, max(0.0, value)) for value in (red, green, blue)]
    return out


def _jittered(
    red: float, green: float, blue: float, strength: float, draws: NDArray[np.float64]
) -> tuple[float, float, float]:
    bright, contrast, saturation = (1 + strength * (2 * draws[n] - 1) for n in range(3))
    pixel = [bright * value for value in (red, green, blue)]
    pixel = [contrast * (value - 127.5) + 127.5 for value in pixel]
    grey = _luminance(*pixel)
    red, green, blue = (grey + saturation * (value - grey) for value in pixel)
    # YIQ: luminance stays, the two chroma axes turn.
    luminance = _luminance(red, green, blue)
    i, q = 0.596 * red - 0.274 * green - 0.322 * blue, 0.211 * red - 0.523 * green + 0.312 * blue
    angle = 2 * math.pi * strength / 4 * (2 * draws[3] - 1)
    i, q = i * math.cos(angle) - q * math.sin(angle), i * math.sin(angle) + q * math.cos(angle)
    return _from_yiq(luminance, i, q)


def _luminance(red: float, green: float, blue: float) -> float:
    return 0.299 * red + 0.587 * green + 0.114 * blue


def _from_yiq(luminance: float, i: float, q: float) -> tuple[float, float, float]:
    system = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
    red, green, blue = np.linalg.solve(system, [luminance, i, q])
    return float(red), float(green), float(blue)
