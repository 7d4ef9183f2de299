"""A manifest of photos that are listed with their class at every level."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from linnet.manifest import Manifest
from linnet.manifest_read import check_image_names
from linnet.tables import Places
from linnet.taxonomy import Taxonomy

__all__ = ["photo_manifest"]


def photo_manifest(
    source: str,
    root: Path,
    images: Sequence[str],
    levels: Sequence[str],
    labels: Sequence[tuple[str, ...]],
    splits: Mapping[str, int],
    where: Callable[[int], str],
) -> Manifest:
    """A manifest of N photos that are all labelled at every level; classes are sorted by name.

    Args:
        source: what messages call the set.
        root: what image paths are relative to.
        images: N paths.
        levels: names, coarsest first.
        labels: for each photo its class at each level, coarsest first.
        splits: split name to its number of photos, in the order of the photos.
        where: names a row, for messages.

    Raises:
        ManifestError: an image is listed twice; names the rows.
        TaxonomyError: a class has two parents; names the rows.
    """
    taxonomy = Taxonomy.from_columns(levels, labels, source=source)
    numbers = [{name: number for number, name in enumerate(classes)} for classes in taxonomy.classes]
    listed = pa.chunked_array([pa.array(images, pa.string())])
    check_image_names(listed, source, where)
    return Manifest(
        source=source,
        root=root,
        images=listed,
        taxonomy=taxonomy,
        targets=np.array([[at[name] for at, name in zip(numbers, row, strict=True)] for row in labels], np.int64),
        split_names=tuple(splits),
        split_codes=np.repeat(np.arange(len(splits), dtype=np.int8), list(splits.values())),
        places=Places("row", np.arange(1, len(images) + 1)),
    )
