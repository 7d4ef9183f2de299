"""JPEG files by simplejpeg, where that is installed (the extra `fast`): the pixels of Pillow, sooner.

Both drive libjpeg-turbo with its exact transform and smooth upsampling, so which of them decodes changes no bit while
they hold the same release of it. Pillow reads every header and decodes what is unusual: CMYK, several pictures in a
file, data with any fault, however small, so that faults are treated and told alike with and without the extra.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import features
from PIL.ImageFile import ImageFile

__all__ = ["decoder_name", "fast_pixels"]


def _find() -> Any:
    try:
        return import_module("simplejpeg")
    except ImportError:
        return None


_simplejpeg = _find()


def decoder_name() -> str:
    """What decodes JPEG files here, with versions."""
    pillow = f"Pillow {PIL.__version__} (libjpeg {features.version('libjpeg_turbo') or features.version('jpg')})"
    return pillow if _simplejpeg is None else f"simplejpeg {_simplejpeg.__version__}, {pillow}"


def fast_pixels(image: ImageFile, scale: int) -> NDArray[np.uint8] | None:
    """Pixels uint8 (H, W, 3) of an opened, not yet loaded file; None leaves it to Pillow.

    `scale`: 1, 2, 4 or 8; where it is above 1, `image.size` is already the smaller size (see `Image.draft`).
    """
    if _simplejpeg is None or image.format != "JPEG" or image.mode not in ("RGB", "L") or image.fp is None:
        return None
    width, height = image.size
    smaller = {"min_height": height, "min_width": width, "min_factor": scale} if scale > 1 else {}
    image.fp.seek(0)
    try:
        pixels: NDArray[np.uint8] = _simplejpeg.decode_jpeg(image.fp.read(), **smaller)
    except ValueError:  # the slightest fault: Pillow says what becomes of it
        return None
    return pixels if pixels.shape == (height, width, 3) else None
