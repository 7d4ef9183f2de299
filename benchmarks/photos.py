"""Photographs' stand-ins for benchmarks of decoding: natural spectra, edges, a little sensor noise, as JPEG."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from linnet.randomness import generator

__all__ = ["write_photos"]


def write_photos(folder: Path, count: int, height: int = 375, width: int = 500) -> float:
    """`folder/class0/0.jpg` and so on, in four classes, quality 93 with half the colour; mean kilobytes of a file.

    Brightness falls with frequency f as 1/f and colours faster, as in photographs, so that a file has a photograph's
    size: about 100 kB at 500 x 375.
    """
    rng = generator(0, "photos")
    sizes = []
    for number in range(count):
        target = folder / f"class{number % 4}" / f"{number}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(_photo(rng, height, width)).save(target, quality=93)
        sizes.append(target.stat().st_size)
    return sum(sizes) / len(sizes) / 1000


def _photo(rng: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = 1 / max(height, width)

    def field(power: float) -> NDArray[np.float64]:
        waves = rng.normal(size=(2, *frequency.shape))
        values = np.fft.irfft2((waves[0] + 1j * waves[1]) / frequency**power, (height, width))
        standard: NDArray[np.float64] = (values - values.mean()) / values.std()
        return standard

    light = 128 + 32 * field(1.0) + 16 * np.sign(field(1.6))
    warm, green = field(1.4), field(1.4)
    image = np.stack([light + 14 * warm, light - 6 * warm - 4 * green, light + 14 * green], axis=2)
    return np.clip(image + rng.normal(0, 2, image.shape), 0, 255).astype(np.uint8)
