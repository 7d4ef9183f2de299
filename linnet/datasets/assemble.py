"""Puts the arrays of a data set that is held in memory together as a Manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from linnet.attributes import Attributes
from linnet.manifest import Manifest
from linnet.taxonomy import Taxonomy

__all__ = ["assemble"]


def assemble(
    *,
    source: str,
    root: Path,
    images: Sequence[str],
    taxonomy: Taxonomy,
    targets: NDArray[np.int64],
    splits: Mapping[str, int],
    pixels: NDArray[np.uint8],
    attributes: Attributes | None = None,
) -> Manifest:
    """A manifest of N images that come as pixels.

    Args:
        source: what messages call the set.
        root: the folder it came from, or "." for one that is drawn.
        images: N unique names.
        taxonomy: its classes; levels coarsest first.
        targets: int64 (N, L), class indices by level.
        splits: split name to its number of rows, in the order of the rows.
        pixels: uint8 (N, H, W, 3).
        attributes: class descriptions, where there are any.
    """
    return Manifest(
        source=source,
        root=root,
        images=pa.array(images, pa.string()),
        taxonomy=taxonomy,
        targets=targets,
        split_names=tuple(splits),
        split_codes=np.repeat(np.arange(len(splits), dtype=np.int8), list(splits.values())),
        pixels=pixels,
        attributes=attributes,
    )
