"""Images as the squares that a net sees, decoded by threads a little ahead of it; memory does not grow with number."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from linnet.images import Preprocessing
from linnet.images.cut import evaluation_pixels
from linnet.images.decode import BrokenImageError, quiet
from linnet.images.resize import centre_crop
from linnet.predict.answers import Failed

__all__ = ["Image", "square", "squares_ahead"]

Image = Path | NDArray[np.uint8]
"""A file, or pixels (H, W, 3)."""


def square(image: Image, preprocessing: Preprocessing) -> NDArray[np.uint8] | Failed:
    """What a net sees of an image, uint8 (S, S, 3), or why there is nothing to see."""
    if isinstance(image, Path):
        try:
            return evaluation_pixels(image, preprocessing)
        except BrokenImageError as error:
            return Failed(str(error))
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        return Failed(f"pixels are {image.dtype} {tuple(image.shape)}, not uint8 (height, width, 3)")
    return centre_crop(np.ascontiguousarray(image), preprocessing)


def squares_ahead(
    images: Iterable[Image], preprocessing: Preprocessing, batch_size: int, workers: int
) -> Iterator[list[NDArray[np.uint8] | Failed]]:
    """Batches of `square`, in order; `workers` threads decode the next two batches while one is looked at."""
    given = iter(images)
    with quiet(), ThreadPoolExecutor(max(1, workers)) as pool:
        waiting: deque[Future[NDArray[np.uint8] | Failed]] = deque()

        def ask(count: int) -> None:
            waiting.extend(pool.submit(square, image, preprocessing) for image in islice(given, count))

        ask(3 * batch_size)
        while waiting:
            batch = [waiting.popleft().result() for _ in range(min(batch_size, len(waiting)))]
            ask(batch_size)
            yield batch
