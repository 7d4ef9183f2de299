"""Rows of a split as batches, as a recipe and a place say: one way for training, validation, evaluation and sweeps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from linnet.images import Augmentation, ImageSource, Preprocessing
from linnet.recipes import Recipe
from linnet.training.data import TrainingData
from linnet.training.device import Place, decoding_workers

__all__ = ["open_source"]


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
    kind = recipe.augment if augmented else "none"
    return ImageSource(
        data.manifest,
        rows,
        preprocessing,
        Augmentation(kind, padding=recipe.padding, flip=recipe.flip),
        seed=recipe.seed,
        device=place.device,
        workers=decoding_workers(recipe, place),
        road=recipe.road,
        channels_last=recipe.channels_last,
    )
