"""Images of a discovery to look at, and as files where the data keeps them in arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from linnet import files
from linnet.errors import ManifestError
from linnet.folders import readable_suffixes
from linnet.images import Preprocessing
from linnet.images.broken import Broken, raise_broken
from linnet.images.cut import evaluation_pixels
from linnet.images.decode import BrokenImageError
from linnet.manifest import Manifest

__all__ = ["rooted", "thumbnails", "write_images"]


def thumbnails(manifest: Manifest, rows: Sequence[int], side: int) -> list[NDArray[np.uint8]]:
    """The centre squares of images, uint8 (S, S, 3), S at most `side`: smaller ones are not enlarged.

    Raises:
        ImageError: images that cannot be decoded; names them.
    """
    found, broken = [], []
    for row in rows:
        if manifest.pixels is not None:
            pixels = manifest.pixels[row]
            height, width = pixels.shape[:2]
            short = min(height, width)
            top, left = (height - short) // 2, (width - short) // 2
            square = pixels[top : top + short, left : left + short]
            if short > side:
                square = np.asarray(Image.fromarray(square).resize((side, side), Image.Resampling.LANCZOS))
            found.append(square)
            continue
        try:
            found.append(evaluation_pixels(manifest.path(row), Preprocessing(side)))
        except BrokenImageError as error:
            broken.append(Broken(row, str(error)))
    raise_broken(manifest, broken, len(rows))
    return found


def rooted(manifest: Manifest, table: Path, images: Path | None = None) -> Manifest:
    """The manifest with image paths that hold where `table` lies: relative below its folder, else absolute.

    Args:
        images: the folder that images which lie in arrays are written to, as PNG.

    Raises:
        ManifestError: the images lie in arrays, and no folder is given; or they are files, and one is.
    """
    if manifest.pixels is not None and images is None:
        raise ManifestError(
            f"{manifest.source}: its images lie in arrays, and a table can only name files; give --images FOLDER to "
            "write them there, as PNG"
        )
    if manifest.pixels is None and images is not None:
        raise ManifestError(f"{manifest.source}: its images are files already; leave --images out")
    if images is not None:
        manifest = write_images(manifest, images)
    root, folder = manifest.root.absolute(), table.parent.absolute()
    paths = [root / name for name in manifest.images.to_pylist()]
    told = [path.relative_to(folder) if path.is_relative_to(folder) else path for path in paths]
    return replace(manifest, root=folder, images=pa.array([str(path) for path in told], pa.string()))


def write_images(manifest: Manifest, folder: Path) -> Manifest:
    """Write images that lie in arrays to PNG files, and give the manifest that names them; those there are kept.

    Raises:
        RunError: a name that leads out of the folder.
    """
    assert manifest.pixels is not None
    names = [_file_name(name) for name in manifest.images.to_pylist()]
    for pixels, name in zip(manifest.pixels, names, strict=True):
        target = files.inside(folder, name)
        if not target.exists():
            with files.atomic_path(target) as aside:
                Image.fromarray(pixels).save(aside, "PNG")
    return replace(manifest, root=folder, images=pa.array(names, pa.string()), pixels=None)


def _file_name(name: str) -> str:
    """The name of a PNG file: lossless whatever the image was called."""
    path = Path(name)
    return str(path.with_suffix(".png") if path.suffix.lower() in readable_suffixes() else f"{name}.png")
