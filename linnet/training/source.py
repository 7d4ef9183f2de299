"""Rows of a split as batches, as a recipe and a place say: one way for training, validation, evaluation and sweeps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from linnet import files
from linnet.images import Augmentation, Batch, ImageSource, Preprocessing, check_images
from linnet.images.kept import find_cache, working_side
from linnet.recipes import Recipe
from linnet.training.data import TrainingData
from linnet.training.device import Place, decoding_workers

__all__ = ["Source", "check_sources", "open_source"]


class Source(Protocol):
    """What training and evaluation ask of a source: an `ImageSource`, or feature maps in place of images."""

    def __len__(self) -> int:
        """N, the number of rows."""

    def epoch(self, epoch: int, order: NDArray[np.int64], batch_size: int, *, start_step: int = 0) -> Iterator[Batch]:
        """See `ImageSource.epoch`."""

    def sequential(self, batch_size: int, positions: NDArray[np.int64] | None = None) -> Iterator[Batch]:
        """See `ImageSource.sequential`."""

    def close(self) -> None:
        """Let go of what the source holds."""


def open_source(
    data: TrainingData,
    rows: NDArray[np.int64],
    preprocessing: Preprocessing,
    recipe: Recipe,
    place: Place,
    *,
    augmented: bool = False,
) -> ImageSource:
    """A source of the images of `rows` (n,); `augmented` gives it the recipe's augmentation. Close it after use."""
    return ImageSource(
        data.manifest,
        rows,
        preprocessing,
        _augmentation(recipe) if augmented else Augmentation("none"),
        seed=recipe.seed,
        device=place.device,
        workers=decoding_workers(recipe, place),
        road=recipe.road,
        channels_last=recipe.channels_last,
    )


def check_sources(data: TrainingData, preprocessing: Preprocessing, recipe: Recipe, *, progress: bool) -> None:
    """Decode the images of all splits once, and with road = "cache" keep them in the same pass.

    All splits at once: a user wants to hear of every broken file in one go, and before training.

    Raises:
        ImageError: images that cannot be decoded.
        RecipeError: the cache cannot be written.
    """
    rows = np.concatenate(list(data.rows.values()))
    crops, keep = _augmentation(recipe), None
    sides = {working_side(preprocessing, crops), working_side(preprocessing, Augmentation("none"))}
    if recipe.road == "cache" and data.manifest.pixels is None and len(sides) == 1:
        keep = find_cache(data.manifest, preprocessing, crops)
    check_images(data.manifest, rows, progress=progress, cache=files.cache_folder(), keep=keep)


def _augmentation(recipe: Recipe) -> Augmentation:
    share = recipe.image_size / (recipe.resize or recipe.image_size)
    return Augmentation(
        recipe.augment,
        padding=recipe.padding,
        flip=recipe.flip,
        share=share,
        color_jitter=recipe.color_jitter,
        grayscale=recipe.grayscale,
    )
