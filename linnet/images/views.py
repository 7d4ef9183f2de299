"""Ten views of an image: centre and corners, and their mirror images (Krizhevsky et al. 2012, the ten-view test)."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

__all__ = ["ten_views"]


def ten_views(images: Tensor, size: int) -> Iterator[Tensor]:
    """Ten batches of views (B, 3, size, size) of square images (B, 3, S, S): five windows, each with its mirror image.

    The windows are the centre (rounded as the centre crop of an evaluation), and the corners from the upper left to
    the lower right. One view at a time, so that memory is that of a usual batch.

    Raises:
        ValueError: the images are not square, or smaller than a view.
    """
    height, side = images.shape[-2:]
    if height != side or side < size:
        raise ValueError(f"images of {height} x {side}: need squares of at least {size}")
    centre, last = round((side - size) / 2), side - size
    for top, left in ((centre, centre), (0, 0), (0, last), (last, 0), (last, last)):
        view = images[..., top : top + size, left : left + size]
        yield view
        yield view.flip(-1)
