"""Heat laid over pictures, in colours whose lightness grows evenly with the value."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import ListedColormap
from numpy.typing import NDArray

__all__ = ["heat_colours", "overlay"]


def heat_colours(most: float = 0.9) -> ListedColormap:
    """Inferno that fades out towards 0, so that the image shows where nothing attends; `most` opaque at 1."""
    colours = colormaps["inferno"](np.linspace(0, 1, 256))
    colours[:, 3] = np.linspace(0, most, 256)
    return ListedColormap(colours)


def overlay(pixels: NDArray[np.uint8], heat: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Lay heat over a greyed picture.

    Args:
        pixels: (H, W, 3).
        heat: (H, W) in 0..1.

    Returns:
        uint8 (H, W, 3).

    Raises:
        ValueError: the heat does not fit the picture or leaves 0..1.
    """
    if heat.shape != pixels.shape[:2] or not (heat.min() >= 0 and heat.max() <= 1):
        raise ValueError(f"heat {heat.shape}: need {pixels.shape[:2]} in 0..1, finite")
    grey = pixels.mean(2, keepdims=True) * 0.75  # darker, so that bright heat stands out on any image
    colours = heat_colours(0.7)(heat)
    mixed = grey * (1 - colours[..., 3:]) + 255 * colours[..., :3] * colours[..., 3:]
    laid: NDArray[np.uint8] = mixed.round().astype(np.uint8)
    return laid
