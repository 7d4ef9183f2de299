"""The neighbours of answered images in an index that the same bundle made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from linnet.errors import RunError
from linnet.predict.answers import Answered
from linnet.predict.rows import Neighbour, Row
from linnet.search import Index
from linnet.training.bundle import Bundle

__all__ = ["open_index", "with_neighbours"]

_TOGETHER = 32


def open_index(folder: Path, bundle: Bundle) -> Index:
    """An index whose vectors can be compared with the bundle's embeddings.

    Raises:
        RunError: no index there, or another bundle made it.
    """
    index = Index.open(folder)
    if index.bundle_sha256 != bundle.card["weights_sha256"]:
        raise RunError(f"{folder}: made by another bundle than the run's, so its vectors do not compare; index anew")
    return index


def with_neighbours(rows: Iterable[Row], index: Index, k: int) -> Iterator[Row]:
    """The rows with the k images of the index that are nearest to each, by cosine; broken images have none."""
    for some in _batched(rows, _TOGETHER):
        vectors = [row.said.embedding for row in some if isinstance(row.said, Answered)]
        found = index.search(np.stack(vectors), k) if vectors else None
        place = 0
        for row in some:
            if found is None or not isinstance(row.said, Answered):
                yield row
                continue
            pairs = zip(found.rows[place].tolist(), found.scores[place].tolist(), strict=True)
            near = tuple(Neighbour(index.names[at], score, index.labels(at)) for at, score in pairs if at >= 0)
            yield Row(row.image, row.said, near)
            place += 1


def _batched(rows: Iterable[Row], count: int) -> Iterator[list[Row]]:
    given = iter(rows)
    while some := list(islice(given, count)):
        yield some
