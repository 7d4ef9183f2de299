"""Photos that are in no manifest, as a tensor ready for a backbone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from linnet.errors import ImageError
from linnet.images.augment import normalise
from linnet.images.broken import summary
from linnet.images.cut import evaluation_pixels
from linnet.images.decode import BrokenImageError
from linnet.images.memory import in_threads
from linnet.images.preprocessing import Preprocessing

__all__ = ["load_images"]


def load_images(paths: Sequence[Path | str], preprocessing: Preprocessing, *, workers: int = 1) -> Tensor:
    """Evaluation views of image files, float32 (n, 3, size, size), normalised, on the CPU.

    `workers` threads decode.

    Raises:
        ImageError: some files cannot be decoded; names every one.
    """
    size = preprocessing.size
    pixels = np.empty((len(paths), size, size, 3), np.uint8)

    def load(place: int) -> str | None:
        try:
            pixels[place] = evaluation_pixels(paths[place], preprocessing)
        except BrokenImageError as error:
            return f"{paths[place]}: {error}"
        return None

    broken = [line for line in in_threads(load, range(len(paths)), workers) if line is not None]
    if broken:
        raise ImageError(f"{summary('photos', broken, len(paths))}\nMend or replace these files, or leave them out.")
    return normalise(torch.from_numpy(pixels).permute(0, 3, 1, 2), preprocessing)
