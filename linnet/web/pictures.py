"""Pictures from outside: what they are is decided by their content, and how large by their header, before decoding."""

from __future__ import annotations

import io
import math

import numpy as np
from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile

from linnet.images.decode import BrokenImageError, decode
from linnet.images.resize import Pixels
from linnet.web.limits import Limits
from linnet.web.problems import Problem

__all__ = ["jpeg", "kind_of", "read_picture", "thumbnail"]


def kind_of(content: bytes) -> str | None:
    """JPEG, PNG or WEBP by the first bytes; None for anything else."""
    if content.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "WEBP"
    return None


def read_picture(content: bytes, limits: Limits, short_side: int = 0) -> Pixels:
    """The upright RGB pixels of a file, uint8 (H, W, 3).

    Args:
        short_side: a JPEG may be decoded at a smaller scale whose shorter side has at least so many pixels, which is
            how `linnet predict` reads files; 0 decodes it whole.

    Raises:
        Problem: 413 too many pixels, 415 another kind of file, 422 broken, cut short or animated.
    """
    kind = kind_of(content)
    if kind is None:
        raise Problem(
            415, "unsupported-kind", "This is no JPEG, PNG or WebP picture (its content decides, not its name)."
        )
    image = _opened(content, kind, limits)
    try:
        reduce = min(image.size) / short_side if short_side else 1.0
        return decode(image, reduce)
    except BrokenImageError as error:
        raise _broken(kind, str(error)) from None


def _broken(kind: str, reason: str) -> Problem:
    called = "WebP" if kind == "WEBP" else kind
    return Problem(422, "broken-image", f"This {called} file is damaged or cut short: {reason}.")


def _opened(content: bytes, kind: str, limits: Limits) -> ImageFile:
    """The file with its header read; before that the size that PNG and WebP tell, as opening WebP takes its memory."""
    stream = io.BytesIO(content)
    try:
        _check_size(_told_size(content, kind), limits)
        # The plugin itself: `Image.open` would warn of a size that is refused below.
        image = JpegImageFile(stream) if kind == "JPEG" else Image.open(stream, formats=[kind])
        assert isinstance(image, ImageFile)
        _check_size(image.size, limits)
        moving = kind != "JPEG" and bool(getattr(image, "is_animated", False))
    except Problem:
        raise
    except Exception as error:  # decoders raise many kinds
        raise _broken(kind, str(error) or type(error).__name__) from None
    if moving:
        raise Problem(422, "animated", "This picture is animated; send a still one.")
    return image


def _told_size(content: bytes, kind: str) -> tuple[int, int] | None:
    """Width and height as the header has them; None where the decoder is to say."""
    if kind == "PNG" and content[12:16] == b"IHDR":
        return int.from_bytes(content[16:20]), int.from_bytes(content[20:24])
    if kind != "WEBP":
        return None
    chunk, body = content[12:16], content[20:]
    if chunk == b"VP8X" and len(body) >= 10:
        return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
    if chunk == b"VP8L" and len(body) >= 5:
        bits = int.from_bytes(body[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if chunk == b"VP8 " and len(body) >= 10:
        return int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF
    raise Problem(422, "broken-image", "This WebP file is damaged or cut short: its header is not whole.")


def _check_size(size: tuple[int, int] | None, limits: Limits) -> None:
    if size is None:
        return
    width, height = size
    if width * height > limits.pixels:
        raise Problem(
            413,
            "too-many-pixels",
            f"The picture has {width} x {height} pixels, more than the limit of {limits.pixels:,}. Send a smaller one.",
        )
    if not width or not height:
        raise Problem(422, "broken-image", f"The picture has {width} x {height} pixels: its header is damaged.")


def thumbnail(pixels: Pixels, side: int) -> Pixels:
    """The picture whole, its longer side at most `side` pixels, never enlarged."""
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return pixels
    size = max(1, math.floor(width * scale + 0.5)), max(1, math.floor(height * scale + 0.5))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0))


def jpeg(pixels: Pixels, quality: int = 85) -> bytes:
    """A JPEG file of uint8 (H, W, 3)."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality)
    return stream.getvalue()
