"""Batched augmentation on the device: shifted windows, flips and normalisation, with no loop over images.

Both roads (memory and files) end here. Each image's draws are keyed by (seed, "augment", epoch,
position), so the result does not depend on batches, workers or where a run was resumed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn import functional

from linnet.images.preprocessing import Augmentation, Preprocessing
from linnet.randomness import uniforms

__all__ = [
    "TRIES",
    "Moves",
    "crop_boxes",
    "draw_moves",
    "flip",
    "normalise",
    "pad",
    "resized_crop",
    "windows",
]

TRIES = 10
"""Attempts of the resized crop before it falls back to a centre crop, as torchvision's."""

_FLIP, _TOP, _LEFT, _FIRST_TRY = 0, 1, 2, 3


@dataclass(frozen=True)
class Moves:
    """What happens to each of B images: window offsets `top`, `left` int64 (B,), and `flip` bool (B,)."""

    top: Tensor
    left: Tensor
    flip: Tensor

    def __getitem__(self, part: slice) -> Moves:
        """The moves of some of the images."""
        return Moves(self.top[part], self.left[part], self.flip[part])


def draw_moves(
    augmentation: Augmentation, seed: int, epoch: int, positions: NDArray[np.int64], device: torch.device
) -> Moves:
    """Draw the window offsets (0 to 2 * padding) and flips of the images at `positions` (B,)."""
    draws = uniforms(seed, "augment", epoch, positions, 3).astype(np.float64)
    margin = augmentation.padding if augmentation.kind == "crop" else 0
    offsets = np.floor(draws[:, [_TOP, _LEFT]] * (2 * margin + 1)).astype(np.int64)
    flips = (draws[:, _FLIP] < 0.5) & (augmentation.flip and augmentation.kind != "none")
    top, left = torch.from_numpy(np.ascontiguousarray(offsets.T)).to(device)
    return Moves(top, left, torch.from_numpy(flips).to(device))


def pad(images: Tensor, padding: int) -> Tensor:
    """Add a black border: (B, 3, H, W) to (B, 3, H + 2 padding, W + 2 padding), uint8, memory format kept.

    The border is black before normalisation, as torchvision's RandomCrop on 8-bit images has it.
    """
    return functional.pad(images, (padding,) * 4) if padding else images


def windows(padded: Tensor, rows: Tensor, top: Tensor, left: Tensor, size: tuple[int, int]) -> Tensor:
    """Cut one window from each of some padded images: (N, 3, H', W'), rows, top, left (B,) to (B, 3, H, W).

    One gather: the image of `rows[i]` from row `top[i]` and column `left[i]` on, `size` = (H, W).
    """
    height, width = size
    if padded.shape[2:] == (height, width):
        return padded[rows]
    return padded.unfold(2, height, 1).unfold(3, width, 1)[rows, :, top, left]


def flip(images: Tensor, which: Tensor) -> Tensor:
    """Mirror left to right the images (B, 3, H, W) for which `which` (B,) is true."""
    if images.device.type != "cpu":  # where the host must not wait to hear how many there are
        return torch.where(which[:, None, None, None], images.flip(3), images)
    # On a CPU choosing whole images, as they lie in memory, takes a quarter of the time of choosing pixels.
    last = images.is_contiguous(memory_format=torch.channels_last)
    flat = images.permute(0, 2, 3, 1) if last else images
    rows = which.nonzero()[:, 0]
    chosen = flat.index_select(0, rows)
    mirrored = chosen.permute(0, 3, 1, 2).flip(3).permute(0, 2, 3, 1) if last else chosen.flip(3)
    place = torch.arange(len(flat))
    place[rows] = torch.arange(len(flat), len(flat) + len(rows))
    both = torch.cat([flat, mirrored]).index_select(0, place)
    return both.permute(0, 3, 1, 2) if last else both


def normalise(
    images: Tensor, preprocessing: Preprocessing, *, channels_last: bool = False, into: Tensor | None = None
) -> Tensor:
    """(x / 255 - mean) / std for images (B, 3, H, W) of values 0 to 255, float32; `into` such a tensor, or a new one.

    `channels_last` is the memory format of the result.
    """
    layout = torch.channels_last if channels_last else torch.contiguous_format
    if into is None:
        into = torch.empty(images.shape, dtype=torch.float32, device=images.device, memory_format=layout)
    into.copy_(images, non_blocking=True)
    # A row of W pixels is one run of 3 W numbers: a loop over three numbers at a time takes five times as long.
    run = images.shape[3] if channels_last else 1
    scale, shift = _affine(preprocessing, into.device, run)
    flat = into.permute(0, 2, 3, 1).flatten(2) if channels_last else into.flatten(2).transpose(1, 2)
    flat.mul_(scale).add_(shift)
    return into


@lru_cache(maxsize=16)
def _affine(preprocessing: Preprocessing, device: torch.device, run: int) -> tuple[Tensor, Tensor]:
    """Scale and shift (3 run,) of the normalisation of `run` pixels, sent to the device once."""
    std = np.asarray(preprocessing.std)
    both = np.stack([1 / (255 * std), -np.asarray(preprocessing.mean) / std]).astype(np.float32)
    with torch.inference_mode(False):
        scale, shift = torch.from_numpy(np.tile(both, run)).to(device)
    return scale, shift


def resized_crop(images: Tensor, boxes: NDArray[np.int64], size: int) -> Tensor:
    """Cut and resize a box of each image: (B, 3, H, W), boxes (B, 4) to float32 (B, 3, size, size), 0 to 255.

    Antialiased bilinear interpolation as Pillow's and `interpolate(..., antialias=True)`, which is
    linear and separable: two batched matrix products, one along each axis. Not rounded to whole values
    as Pillow does.
    """
    places = torch.from_numpy(boxes).to(images.device, torch.float32, non_blocking=True)
    down = _resize_weights(places[:, 0], places[:, 2], images.shape[2], size)
    across = _resize_weights(places[:, 1], places[:, 3], images.shape[3], size)
    return down[:, None] @ images.to(torch.float32) @ across.transpose(1, 2)[:, None]


def _resize_weights(start: Tensor, length: Tensor, inputs: int, outputs: int) -> Tensor:
    """Triangle-filter weights (B, outputs, inputs): pixels start to start + length become `outputs`."""
    ratio = (length / outputs)[:, None, None]
    support = ratio.clamp(min=1)
    first, last = start[:, None, None], (start + length)[:, None, None]
    centre = first + (torch.arange(outputs, device=start.device)[None, :, None] + 0.5) * ratio
    pixel = torch.arange(inputs, device=start.device)[None, None, :]
    inside = (pixel >= first) & (pixel < last)
    weights = (1 - ((pixel + 0.5 - centre) / support).abs()).clamp(min=0) * inside
    return weights / weights.sum(2, keepdim=True)


def crop_boxes(
    augmentation: Augmentation,
    seed: int,
    epoch: int,
    positions: ArrayLike,
    height: ArrayLike,
    width: ArrayLike,
) -> NDArray[np.int64]:
    """Boxes (top, left, height, width) int64 (B, 4) of random resized crops or windows, in pixels of the image.

    A resized crop by the rule of torchvision's RandomResizedCrop.get_params (after Szegedy et al. 2015): ten tries of
    an area share uniform in `scale` and an aspect ratio log-uniform in `ratio`; the first that fits; else the largest
    centre crop whose ratio is allowed. A window has its side given, and lies anywhere. `positions`, `height` and
    `width` are (B,) or broadcast to it.
    """
    rows = np.atleast_1d(np.asarray(positions, dtype=np.int64))
    tall = np.broadcast_to(np.asarray(height, dtype=np.float64), rows.shape)
    wide = np.broadcast_to(np.asarray(width, dtype=np.float64), rows.shape)
    draws = uniforms(seed, "augment", epoch, rows, _FIRST_TRY + 2 * TRIES).astype(np.float64)
    if augmentation.kind == "window":
        side = np.maximum(1, np.rint(augmentation.share * np.minimum(tall, wide)))
        return _placed(draws, tall, wide, side, side, np.ones(len(rows), dtype=np.bool_))
    areas, ratios = draws[:, _FIRST_TRY::2], draws[:, _FIRST_TRY + 1 :: 2]
    low, high = np.log(augmentation.ratio)
    share = augmentation.scale[0] + areas * (augmentation.scale[1] - augmentation.scale[0])
    area, aspect = (tall * wide)[:, None] * share, np.exp(low + ratios * (high - low))
    columns, lines = np.rint(np.sqrt(area * aspect)), np.rint(np.sqrt(area / aspect))
    fits = (columns > 0) & (columns <= wide[:, None]) & (lines > 0) & (lines <= tall[:, None])
    first, some = fits.argmax(1)[:, None], fits.any(1)
    central_lines, central_columns = _largest_allowed(tall, wide, augmentation.ratio)
    box_height = np.where(some, np.take_along_axis(lines, first, 1)[:, 0], central_lines)
    box_width = np.where(some, np.take_along_axis(columns, first, 1)[:, 0], central_columns)
    return _placed(draws, tall, wide, box_height, box_width, some)


def _placed(
    draws: NDArray[np.float64],
    tall: NDArray[np.float64],
    wide: NDArray[np.float64],
    box_height: NDArray[np.float64],
    box_width: NDArray[np.float64],
    anywhere: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """Boxes at drawn places, or in the centre where not `anywhere`."""
    top = np.where(anywhere, np.floor(draws[:, _TOP] * (tall - box_height + 1)), (tall - box_height) // 2)
    left = np.where(anywhere, np.floor(draws[:, _LEFT] * (wide - box_width + 1)), (wide - box_width) // 2)
    return np.stack([top, left, box_height, box_width], axis=1).astype(np.int64)


def _largest_allowed(
    tall: NDArray[np.float64], wide: NDArray[np.float64], ratio: tuple[float, float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Height and width of the largest box in each image whose aspect ratio is allowed."""
    actual = wide / tall
    lines = np.where(actual < ratio[0], np.rint(wide / ratio[0]), tall)
    columns = np.where(actual > ratio[1], np.rint(tall * ratio[1]), wide)
    return np.clip(lines, 1, tall), np.clip(columns, 1, wide)
