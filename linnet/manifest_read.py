"""From columns of text to the codes of a manifest, vectorised: Python loops run over labels, not rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from linnet.errors import ManifestError
from linnet.hierarchy import first_few
from linnet.tables import encode

__all__ = ["check_image_names", "distinct_labels", "encode_splits", "normal_split"]

Where = Callable[[int], str]
_SPLIT_NAMES = {
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "train": "train",
    "test": "test",
}
_SPLIT_ORDER = ("train", "validation", "test")


def normal_split(name: str) -> str:
    """'val' and 'valid' mean 'validation', in any letter case, as do 'Train' and 'TEST'; other names stay."""
    return _SPLIT_NAMES.get(name.strip().lower(), name.strip())


def encode_splits(column: pa.ChunkedArray | None, count: int, source: str) -> tuple[tuple[str, ...], NDArray[np.int8]]:
    """Split names (train, validation, test, then others sorted) and int8 codes (N,), -1 where blank.

    Raises:
        ManifestError: more than 127 different names.
    """
    if column is None:
        return (), np.full(count, -1, dtype=np.int8)
    codes, given = encode(column)
    found = {normal_split(name) for name in given}
    names = tuple(name for name in _SPLIT_ORDER if name in found) + tuple(sorted(found - set(_SPLIT_ORDER)))
    if len(names) > 127:
        raise ManifestError(
            f"{source}: {len(names)} different names in the column split, such as {names[0]!r} and "
            f"{names[-1]!r}; "
            "is it another kind of column? Rename it, or delete it."
        )
    at = {name: number for number, name in enumerate(names)}
    recode = np.array([at[normal_split(name)] for name in given] + [-1], dtype=np.int8)
    return names, recode[codes]


def check_image_names(images: pa.ChunkedArray, source: str, where: Where) -> None:
    """Refuse blank images and images that are there twice, './a.jpg' and 'a.jpg' being one.

    Raises:
        ManifestError: names the rows.
    """
    blank = pc.fill_null(pc.equal(pc.utf8_trim_whitespace(images), ""), True)
    rows = _true_rows(blank)
    if len(rows):
        raise ManifestError(
            f"{source}: rows without an image:\n{first_few([where(int(row)) for row in rows])}\n"
            "Fill in the column image, or delete these rows."
        )
    images = _plain_paths(images)
    if pc.count_distinct(images).as_py() == len(images):
        return
    counts = pc.value_counts(images)
    twice = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
    listed: list[str] = []
    for image in twice.slice(0, 5).to_pylist():
        again = _true_rows(pc.equal(images, image))
        listed.append(f"{image!r}: {'; '.join(where(int(row)) for row in again[:5])}")
    raise ManifestError(
        f"{source}: {len(twice)} images are there more than once:\n{first_few(listed)}\n"
        "An image is one row, labelled as finely as is known: delete the others."
    )


def _plain_paths(images: pa.ChunkedArray) -> pa.ChunkedArray:
    """Paths without './' and doubled '/'; links and '..' are not followed."""
    if not pc.any(pc.match_substring_regex(images, r"(^|/)\./|//")).as_py():
        return images
    for pattern, plain in ((r"/{2,}", "/"), (r"/(\./)+", "/"), (r"^(\./)+", "")):
        images = pc.replace_substring_regex(images, pattern, plain)
    return images


def _true_rows(mask: pa.ChunkedArray) -> NDArray[np.int64]:
    return np.flatnonzero(mask.to_numpy()).astype(np.int64, copy=False)


def distinct_labels(
    columns: Sequence[pa.ChunkedArray], count: int
) -> tuple[list[tuple[str, ...]], NDArray[np.int64], NDArray[np.int64]]:
    """The distinct rows of labels as they appear, the first row of each, and each row's number there (N,).

    Labels lose outer spaces; those that are then empty are blank ('').
    """
    combined = np.zeros(count, dtype=np.int64)
    encoded = [encode(column) for column in columns]
    for codes, texts in encoded:
        # Numbers stay below N after each step, so that the product cannot overflow.
        _, combined = np.unique(combined * (len(texts) + 1) + (codes + 1), return_inverse=True)
    first = np.zeros(int(combined.max(initial=-1)) + 1, dtype=np.int64)
    first[combined[::-1]] = np.arange(count, dtype=np.int64)[::-1]  # of repeated places the last written stays
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    first = first[order]
    picked = [[texts[code] if code >= 0 else "" for code in codes[first].tolist()] for codes, texts in encoded]
    return list(zip(*picked, strict=True)), first, rank[combined]
