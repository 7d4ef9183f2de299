"""Colour augmentation: brightness, contrast, saturation and hue of a batch by one affine map of RGB an image.

What tells one photo from another at once is its light and its tint. A method that learns to tell images apart (`coins`,
`instance`) learns those first and may stop there; drawn anew at every look they tell nothing, and form is left.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from linnet.images.preprocessing import Augmentation
from linnet.randomness import uniforms

__all__ = ["draw_colours", "recolour"]

_SHARE = 0.8
"""Of the images, how many the jitter changes (Chen et al. 2020, SimCLR, appendix A)."""
_HUE = 0.25
"""Hue turns by this part of the strength, of a full circle either way, as SimCLR's does."""
_MIDDLE = 127.5

_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
"""RGB to luminance and two axes of chroma; turning those two is a turn of hue that keeps luminance."""
_RGB = np.linalg.inv(_YIQ)
_LUMINANCE = np.tile(_YIQ[0], (3, 1))


def draw_colours(
    augmentation: Augmentation, seed: int, epoch: int, positions: NDArray[np.int64], device: torch.device
) -> Tensor | None:
    """Draw the affine maps of RGB in 0..255, float32 (B, 3, 4), of the images at `positions` (B,); None without any.

    With strength s: brightness, contrast about mid-grey and saturation by factors of 1 - s to 1 + s, then hue turned by
    up to s / 4 of the circle, for eight images in ten; `grayscale` is the share of all that lose their colours.
    """
    if not (augmentation.color_jitter or augmentation.grayscale):
        return None
    draws = uniforms(seed, "colour", epoch, positions, 6).astype(np.float64)
    brightness, contrast, saturation, turn = (augmentation.color_jitter * (2 * draws[:, :4] - 1)).T
    maps = np.empty((len(positions), 3, 4))
    # Mid-grey is grey at any saturation and hue, so the shift that contrast makes passes both.
    maps[:, :, 3] = -(contrast * _MIDDLE)[:, None]
    maps[:, :, :3] = _turns(2 * np.pi * _HUE * turn) @ _saturations(1 + saturation)
    maps[:, :, :3] *= ((1 + brightness) * (1 + contrast))[:, None, None]
    maps[draws[:, 4] >= _SHARE] = np.eye(3, 4)
    grey = draws[:, 5] < augmentation.grayscale
    maps[grey, :, :3] = _LUMINANCE @ maps[grey, :, :3]
    drawn = torch.from_numpy(maps.astype(np.float32))
    return (drawn.pin_memory() if device.type == "cuda" else drawn).to(device, non_blocking=True)


def _saturations(factors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Matrices (B, 3, 3) that move colours from their grey by factors (B,)."""
    each = factors[:, None, None]
    moved: NDArray[np.float64] = each * np.eye(3) + (1 - each) * _LUMINANCE
    return moved


def _turns(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Matrices (B, 3, 3) that turn hue by angles (B,), radians."""
    turns = np.zeros((len(angles), 3, 3))
    turns[:, 0, 0] = 1
    turns[:, 1, 1] = turns[:, 2, 2] = np.cos(angles)
    turns[:, 2, 1] = np.sin(angles)
    turns[:, 1, 2] = -turns[:, 2, 1]
    turned: NDArray[np.float64] = _RGB @ turns @ _YIQ
    return turned


def recolour(images: Tensor, maps: Tensor) -> Tensor:
    """Images (B, 3, H, W) of values 0 to 255 under their maps (B, 3, 4), cut off at 0 and 255; float32, layout kept.

    Products and sums one after another, each rounded by itself: a matrix product's bits depend on how many images come
    together, and a batch must be the same however it was put together.
    """
    layout = torch.channels_last if images.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
    planes = images.to(torch.float32).permute(1, 0, 2, 3).contiguous()
    result = torch.empty_like(images, dtype=torch.float32, memory_format=layout)
    for channel in range(3):
        red, green, blue, shift = (maps[:, channel, column, None, None] for column in range(4))
        mixed = planes[0] * red
        mixed.add_(planes[1] * green).add_(planes[2] * blue).add_(shift)
        result[:, channel] = mixed.clamp_(0, 255)
    return result
