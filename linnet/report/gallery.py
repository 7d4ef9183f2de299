"""Queries and their nearest images, each marked right, near or wrong: some drawn, some where a run errs most surely."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from linnet.explain.inputs import squares
from linnet.randomness import permutation
from linnet.report.probe import Probe, class_names, image_name, images_of

__all__ = ["Gallery", "Hit", "Query", "drawn_queries", "gallery", "sure_errors"]

_DRAWN = 6
_ERRORS = 6
_SIDE = 112
"""Least side of a picture, pixels; a small one is enlarged by the reader's browser."""


@dataclass(frozen=True, eq=False)
class Hit:
    """A picture (S, S, 3) found for a query: class, cosine, and whether it is "right", "near", "wrong" or "unknown"."""

    pixels: NDArray[np.uint8]
    name: str
    similarity: float
    mark: str


@dataclass(frozen=True, eq=False)
class Query:
    """A picture (S, S, 3), its classes, what the method says of it, and its nearest images."""

    pixels: NDArray[np.uint8]
    image: str
    fine: str
    coarse: str
    said: tuple[tuple[str, bool | None], ...]
    hits: tuple[Hit, ...]


@dataclass(frozen=True)
class Gallery:
    """Queries drawn by a fixed key, and the surest errors."""

    drawn: tuple[Query, ...]
    errors: tuple[Query, ...]


def gallery(probe: Probe) -> Gallery:
    """Both kinds of queries of a probe."""
    return Gallery(_queries(probe, drawn_queries(probe)), _queries(probe, sure_errors(probe)))


def drawn_queries(probe: Probe, count: int = _DRAWN) -> list[int]:
    """Positions of labelled images, drawn by a fixed key, no two of one coarse class while there are others."""
    order = permutation(len(probe.rows), 0, "report gallery")
    order = order[probe.coarse[order] >= 0]
    return _spread(order, probe.coarse, count)


def sure_errors(probe: Probe, count: int = _ERRORS) -> list[int]:
    """Positions of the images whose nearest one is most similar and yet of another class, one of each class at most."""
    labels = _finest(probe)
    first = probe.neighbours[:, 0]
    wrong = (labels >= 0) & (first >= 0) & (labels[first] >= 0) & (labels != labels[first])
    order = np.argsort(-probe.similarity[:, 0], kind="stable")
    return _spread(order[wrong[order]], labels, count, strict=True)


def _spread(order: NDArray[np.int64], labels: NDArray[np.int64], count: int, *, strict: bool = False) -> list[int]:
    """The first of each class in `order`, then, unless `strict`, others, up to `count`."""
    seen: set[int] = set()
    first: list[int] = []
    later: list[int] = []
    for place in order.tolist():
        (later if int(labels[place]) in seen else first).append(place)
        seen.add(int(labels[place]))
        if len(first) == count:
            break
    return (first if strict else [*first, *later])[:count]


def _finest(probe: Probe) -> NDArray[np.int64]:
    return probe.fine if (probe.fine >= 0).any() else probe.coarse


def _queries(probe: Probe, places: list[int]) -> tuple[Query, ...]:
    """Queries with their pictures, decoded at once."""
    if not places:
        return ()
    data, labels = probe.data, _finest(probe)
    level = data.fine if labels is probe.fine else data.coarse
    names, coarse_names = class_names(data, level), class_names(data, data.coarse)
    wanted = [[place, *(int(each) for each in probe.neighbours[place] if each >= 0)] for place in places]
    flat = sorted({each for row in wanted for each in row})
    preprocessing = probe.measured.run.bundle.preprocessing
    least = 0 if data.manifest.pixels is not None else _SIDE
    shown = dict(zip(flat, squares(images_of(data, probe.rows[flat]), preprocessing, least), strict=True))
    fine, coarse = (probe.named(each) for each in (True, False))

    def told(numbers: NDArray[np.int64], known: list[str], place: int) -> str:
        return known[int(numbers[place])] if numbers[place] >= 0 else ""

    def mark(query: int, hit: int) -> str:
        if labels[query] < 0 or labels[hit] < 0:
            return "unknown"
        if labels[query] == labels[hit]:
            return "right"
        return "near" if level != data.coarse and probe.coarse[query] == probe.coarse[hit] else "wrong"

    found = []
    for row in wanted:
        place = row[0]
        said = []
        for answer, known, truth in ((coarse, coarse_names, probe.coarse), (fine, names, probe.fine)):
            if answer is not None:
                right = None if truth[place] < 0 else bool(answer[0][place] == truth[place])
                said.append((f"{known[int(answer[0][place])]} {100 * float(answer[1][place]):.0f} %", right))
        hits = tuple(
            Hit(shown[hit], told(labels, names, hit) or "no label", float(similarity), mark(place, hit))
            for hit, similarity in zip(row[1:], probe.similarity[place], strict=False)
        )
        above = told(probe.coarse, coarse_names, place) if level != data.coarse else ""
        title = told(labels, names, place) or above or "no label"
        image = image_name(data, int(probe.rows[place]))
        found.append(Query(shown[place], image, title, above, tuple(said), hits))
    return tuple(found)
