"""Small manifests for the tests of images: as arrays, and as files in a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from PIL import Image

from linnet.manifest import Manifest
from linnet.taxonomy import Taxonomy

__all__: list[str] = []

MakeManifest = Callable[..., Manifest]


def _manifest(root: Path, names: list[str], pixels: NDArray[np.uint8] | None) -> Manifest:
    count = len(names)
    taxonomy = Taxonomy(("coarse", "fine"), (("a", "b"), ("a1", "a2", "b1")), ((), (0, 0, 1)))
    fine = np.arange(count) % 3
    targets = np.stack([np.asarray([0, 0, 1])[fine], fine], axis=1).astype(np.int64)
    return Manifest("photos", root, pa.array(names), taxonomy, targets, (), np.full(count, -1, np.int8), pixels)


def _noise(count: int, height: int, width: int) -> NDArray[np.uint8]:
    """Images with smooth structure, so that JPEG and resizing keep something of them."""
    draws = np.random.default_rng(count * height + width).integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    images = [Image.fromarray(one).resize((width, height), Image.Resampling.BILINEAR) for one in draws]
    return np.stack([np.asarray(one) for one in images])


@pytest.fixture
def arrays(tmp_path: Path) -> MakeManifest:
    """`arrays(count, size)`: a manifest that holds its pixels."""

    def make(count: int, size: int) -> Manifest:
        return _manifest(tmp_path, [f"{i}" for i in range(count)], _noise(count, size, size))

    return make


@pytest.fixture
def files(tmp_path: Path) -> MakeManifest:
    """`files(count, height, width, suffix)`: a manifest of files, written now."""

    def make(count: int, height: int, width: int, suffix: str = ".png") -> Manifest:
        names = [f"{i:03d}{suffix}" for i in range(count)]
        for name, image in zip(names, _noise(count, height, width), strict=True):
            Image.fromarray(image).save(tmp_path / name)
        return _manifest(tmp_path, names, None)

    return make
