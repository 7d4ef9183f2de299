"""Rows of a manifest from the image cache: kept first where they are not yet, or not as they should be."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from linnet import files
from linnet.errors import RecipeError
from linnet.images.cache import ImageCache, KeptImages
from linnet.images.check import check_images, cores, image_paths
from linnet.images.preprocessing import Augmentation, Preprocessing
from linnet.manifest import Manifest

__all__ = ["find_cache", "open_kept", "working_side"]

_logger = logging.getLogger("linnet")


def working_side(preprocessing: Preprocessing, augmentation: Augmentation) -> int:
    """The shorter side of a working image, pixels.

    That of the evaluation view, which then is the same as from the file, to the bit. Where that leaves random resized
    crops no room (`resize` is none), 8/7 of the input: 256 for 224.
    """
    if preprocessing.resize is None and augmentation.of_whole:
        return -(-preprocessing.size * 8 // 7)
    return preprocessing.short_side


def find_cache(
    manifest: Manifest, preprocessing: Preprocessing, augmentation: Augmentation, within: Path | None = None
) -> ImageCache:
    """The cache that serves a source of a manifest's images; `within`: see `ImageCache`."""
    side = working_side(preprocessing, augmentation)
    return ImageCache(manifest.root, side, preprocessing.interpolation, within=within)


def open_kept(manifest: Manifest, rows: NDArray[np.int64], cache: ImageCache) -> KeptImages:
    """The working images of some rows, int64 (N,); what is lacking, changed or damaged is decoded now.

    Raises:
        ImageError: images that cannot be decoded; all are named.
        RecipeError: the cache cannot be written, or does not keep what is written.
    """
    paths = image_paths(manifest, rows)
    for _ in range(2):
        check_images(manifest, rows, progress=True, cache=files.cache_folder(), keep=cache)
        kept, damaged = cache.images(paths, cores())
        if not damaged.any():
            return kept
        _logger.warning(
            "%s: %s of %s kept images are damaged (their checksums differ); they are decoded again",
            cache.folder,
            f"{damaged.sum():,}",
            f"{len(paths):,}",
        )
        suspects = [paths[place] for place in np.flatnonzero(damaged)]
        with cache.writing() as writer:
            _, damaged = cache.images(suspects, cores())  # another process may have mended some meanwhile
            writer.drop(path for path, bad in zip(suspects, damaged, strict=True) if bad)
    raise RecipeError(
        f"road = 'cache': {cache.folder} does not give back what was written to it; check the disk, or use "
        "road = 'files'"
    )
