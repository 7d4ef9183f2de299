"""One image file to upright 8-bit RGB pixels, by Pillow or, for plain JPEG, whatever is faster (see `jpeg`).

Every colour mode becomes RGB: palettes and greys by value; transparency is laid over white; CMYK by
Pillow's own conversion; 16-bit greys are scaled to 8 bits; colour profiles are ignored; of several
frames the first counts. EXIF orientation is obeyed. What cannot be decoded whole is a
`BrokenImageError` with a reason; the caller knows the row.
"""

from __future__ import annotations

import io
import math
import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from linnet.images.jpeg import fast_pixels
from linnet.images.resize import Pixels

__all__ = ["BrokenImageError", "decode", "open_image", "quiet", "to_rgb", "upright_size"]

_ORIENTATION = 0x0112
_TURNS: dict[int, Callable[[Pixels], Pixels]] = {
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: stored[::-1].swapaxes(0, 1),
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),
    8: lambda stored: stored[:, ::-1].swapaxes(0, 1),
}
"""What turns a stored picture upright, by its EXIF orientation."""


class BrokenImageError(Exception):
    """An image that cannot be decoded; its text is the reason, without the path."""


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Pillow's warnings (odd EXIF, large images) from the user. Not safe across threads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def open_image(source: Path | str | bytes) -> ImageFile:
    """Open a file, or the content of one, and read its header only.

    Raises:
        BrokenImageError: the file is missing, empty, no image, or larger than Pillow's limit on pixels.
    """
    try:
        image = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)
    except FileNotFoundError:
        raise BrokenImageError("no such file") from None
    except UnidentifiedImageError:
        empty = not source if isinstance(source, bytes) else Path(source).stat().st_size == 0
        reason = "the file is empty (0 bytes)" if empty else "not an image in a known format"
        raise BrokenImageError(reason) from None
    except Exception as error:  # SyntaxError, struct.error, ...: decoders raise many kinds
        raise BrokenImageError(_reason(error)) from None
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and image.width * image.height > limit:
        size = f"{image.width} x {image.height}"
        image.close()
        raise BrokenImageError(f"{size} pixels are more than the limit of {limit:,} (a decompression bomb?)")
    return image


def _reason(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) else None
    return text or str(error) or type(error).__name__


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1 to 8; 1 when there is none or it cannot be read, since the pixels are still good."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except (OSError, SyntaxError, ValueError, KeyError, TypeError, struct.error):
        return 1
    return value if value in _TURNS else 1


def upright_size(image: ImageFile) -> tuple[int, int]:
    """Width and height of an opened image, pixels, once turned upright.

    Raises:
        BrokenImageError: a PNG that cannot be decoded: its EXIF may lie behind its pixels.
    """
    width, height = image.size
    if image.format == "PNG" and "exif" not in image.info:
        # Else Pillow does so on being asked for EXIF, and an image that failed once is black the second time.
        try:
            image.load()
        except Exception as error:  # see open_image
            raise BrokenImageError(_reason(error)) from None
    turned = image.format != "TIFF" and _orientation(image) >= 5  # a TIFF's size is already the upright one
    return (height, width) if turned else (width, height)


def decode(image: ImageFile, reduce: float = 1.0) -> Pixels:
    """Decode an opened image whole, upright and in RGB, uint8 (H, W, 3), and close it.

    `reduce`: how many times smaller the result may be; JPEG uses the largest of 2, 4, 8 that it allows,
    decoding straight at that scale.

    Raises:
        BrokenImageError: the data are truncated or damaged, or the colour mode has no conversion to RGB.
    """
    try:
        with image:
            whole = image.width
            if reduce >= 2:
                image.draft(None, (math.ceil(image.width / reduce), math.ceil(image.height / reduce)))
            pixels = fast_pixels(image, round(whole / image.width))
            if pixels is None:
                image.load()
            orientation = _orientation(image)  # only now: TIFF files turn themselves while they load
            if pixels is None:
                pixels = np.array(to_rgb(image))
    except Exception as error:  # see open_image
        raise BrokenImageError(_reason(error)) from None
    return np.ascontiguousarray(_TURNS[orientation](pixels)) if orientation > 1 else pixels


def to_rgb(image: Image.Image) -> Image.Image:
    """Any colour mode to RGB, as the module's text says.

    Raises:
        ValueError: Pillow has no conversion, or a floating-point image is not finite.
    """
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_eight_bits(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        straight = image.convert("LA") if image.mode == "La" else image
        over = straight.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", over.size, "white"), over).convert("RGB")
    return image.convert("RGB")


def _eight_bits(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Wide grey values to 0 to 255: integers from 0 to 65535, floats from 0 to 1 when none is above."""
    numbers = values.astype(np.float64)
    if not np.isfinite(numbers).all():
        raise ValueError("the image holds values that are not finite")
    if np.issubdtype(values.dtype, np.integer):
        numbers = numbers / 257
    elif numbers.size and numbers.max() <= 1:
        numbers = numbers * 255
    return np.clip(np.rint(numbers), 0, 255).astype(np.uint8)
