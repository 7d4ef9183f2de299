"""Approximate search by faiss: an inverted file or a graph over 8-bit copies, its candidates ranked exactly.

What it finds of the true neighbours is measured when it is built, on rows drawn from the index itself, each without its
own row; how far a search looks (`nprobe`, `efSearch`) is the least that reaches the share that was asked for.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from linnet import files
from linnet.errors import RecipeError, RunError, nearest
from linnet.metrics.unit_vectors import Units, exact_similarities
from linnet.randomness import permutation
from linnet.search.exact import exact_search, shared

__all__ = ["KINDS", "Approximate", "Kind", "build_approximate", "open_approximate"]

Kind = Literal["hnsw", "ivf"]
KINDS: tuple[str, ...] = get_args(Kind)

LINKS, CONSTRUCTION = 32, 160
"""Of a graph: links a row in each layer, and candidates that are looked at while it is built."""

_PER_LIST = 40
"""Rows that train an inverted list, on average; faiss asks for 39."""

_BLOCK = 1 << 16
_WIDER = 4
"""So many times k candidates are ranked exactly."""

Vectors = NDArray[np.float32]
Found = tuple[NDArray[np.float64], NDArray[np.int64]]


@dataclass
class Approximate:
    """A faiss index over the rows of an index, opened.

    Attributes:
        kind: "hnsw" or "ivf".
        effort: `efSearch` or `nprobe`.
    """

    kind: str
    effort: int
    inner: Any

    def search(self, gallery: Vectors, query: Units, k: int) -> Found:
        """As `exact_search`, but for rows that are missed; those that are found have exact similarities."""
        _set_effort(self.inner, self.kind, self.effort)
        wanted = min(len(gallery), max(_WIDER * k, k + 16))
        if self.kind == "hnsw":
            self.inner.hnsw.efSearch = max(self.effort, wanted)
        _, candidates = self.inner.search(np.ascontiguousarray(query.exact.numpy()), wanted)
        return _ranked(gallery, query, candidates, k)


def _set_effort(inner: Any, kind: str, effort: int) -> None:
    if kind == "hnsw":
        inner.hnsw.efSearch = effort
    else:
        inner.nprobe = effort


def _ranked(gallery: Vectors, query: Units, candidates: NDArray[np.int64], k: int) -> Found:
    """The k best of each query's candidates (n, m), -1 for none, by exact similarity, of equals the lower row."""
    wide = max(k, candidates.shape[1])
    s = np.full((len(candidates), wide), -np.inf)
    rows = np.full((len(candidates), wide), -1, np.int64)
    place, column = np.nonzero(candidates >= 0)
    chosen = candidates[place, column].astype(np.int64)
    units = Units(shared(gallery))
    s[place, column] = exact_similarities(query, torch.from_numpy(place), units, torch.from_numpy(chosen)).numpy()
    rows[place, column] = chosen
    order = np.lexsort((rows, -s), axis=1)[:, :k]
    return np.take_along_axis(s, order, 1), np.take_along_axis(rows, order, 1)


def build_approximate(
    folder: Path,
    gallery: Vectors,
    kind: str,
    *,
    recall: float = 0.95,
    k: int = 10,
    queries: int = 200,
    tell: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Build it over unit vectors (N, D), write it beside them, and measure it; what the card says of it.

    Args:
        kind: "hnsw" or "ivf".
        recall: the share of the k true neighbours that a search shall find on average, if it can.
        queries: how many rows measure it.
        tell: hears what is under way.

    Raises:
        RecipeError: no such kind, or a share that is none.
        RunError: faiss is not installed, or there are too few rows.
    """
    if kind not in KINDS:
        raise RecipeError(f"approximate {kind!r}: choose one of {', '.join(KINDS)}{nearest(kind, KINDS)}")
    if not 0 < recall <= 1:
        raise RecipeError(f"recall = {recall}: give a share of the true neighbours, above 0 and at most 1")
    faiss = _faiss()
    if len(gallery) < 2 * _PER_LIST:
        raise RunError(f"{len(gallery)} rows: exact search takes no time there; build an approximate index of more")
    began = time.monotonic()
    inner, parameters = (_graph if kind == "hnsw" else _lists)(faiss, gallery, tell)
    seconds = time.monotonic() - began
    name = f"{kind}-{len(gallery)}-{time.time_ns() // 10**6:x}.faiss"
    with files.atomic_path(folder / name) as aside:
        faiss.write_index(inner, str(aside))
    tried, chosen = _measure(Approximate(kind, 1, inner), gallery, recall, k, min(queries, len(gallery)), tell)
    return {
        "kind": kind,
        "file": name,
        "sha256": files.digest(folder / name),
        "rows": len(gallery),
        "parameters": parameters,
        "effort": chosen["effort"],
        "recall": {"k": k, "queries": min(queries, len(gallery)), "wanted": recall, "measured": chosen["recall"]},
        "tried": tried,
        "build_seconds": round(seconds, 1),
        "faiss": version("faiss-cpu"),
    }


def _graph(faiss: Any, gallery: Vectors, tell: Callable[[str], None]) -> tuple[Any, dict[str, int]]:
    inner = faiss.IndexHNSWSQ(gallery.shape[1], faiss.ScalarQuantizer.QT_8bit, LINKS, faiss.METRIC_INNER_PRODUCT)
    inner.hnsw.efConstruction = CONSTRUCTION
    inner.train(_sample(gallery, 20_000))
    for start in range(0, len(gallery), _BLOCK // 4):
        inner.add(np.ascontiguousarray(gallery[start : start + _BLOCK // 4]))
        tell(f"hnsw: {inner.ntotal:,} of {len(gallery):,} rows")
    return inner, {"links": LINKS, "construction": CONSTRUCTION}


def _lists(faiss: Any, gallery: Vectors, tell: Callable[[str], None]) -> tuple[Any, dict[str, int]]:
    count = max(1, min(round(2 * math.sqrt(len(gallery))), len(gallery) // _PER_LIST))
    dim = gallery.shape[1]
    coarse = faiss.IndexFlatIP(dim)
    inner = faiss.IndexIVFScalarQuantizer(
        coarse, dim, count, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT, False
    )
    inner.train(_sample(gallery, _PER_LIST * count))
    tell(f"ivf: {count:,} lists")
    for start in range(0, len(gallery), _BLOCK):
        inner.add(np.ascontiguousarray(gallery[start : start + _BLOCK]))
    tell(f"ivf: {inner.ntotal:,} rows")
    inner.own_fields = True
    coarse.this.disown()
    return inner, {"lists": count}


def _sample(gallery: Vectors, count: int) -> Vectors:
    rows = np.sort(permutation(len(gallery), 0, "faiss")[:count])
    return np.ascontiguousarray(gallery[rows])


def _measure(
    opened: Approximate, gallery: Vectors, wanted: float, k: int, queries: int, tell: Callable[[str], None]
) -> tuple[list[dict[str, float]], dict[str, Any]]:
    """Recall@k for rising efforts, until the wanted one is reached; and the effort to take."""
    rows = np.sort(permutation(len(gallery), 0, "recall")[:queries])
    query = Units(torch.from_numpy(np.ascontiguousarray(gallery[rows])))
    truth = _others(exact_search(gallery, query, k + 1)[1], rows, k)
    most = 1024 if opened.kind == "hnsw" else opened.inner.nlist
    effort, tried = (16 if opened.kind == "hnsw" else 1), []
    while True:
        opened.effort = effort
        began = time.perf_counter()
        found = _others(opened.search(gallery, query, k + 1)[1], rows, k)
        spent = time.perf_counter() - began
        hits = sum(len(np.intersect1d(a[a >= 0], b[b >= 0])) for a, b in zip(found, truth, strict=True))
        share = round(float(hits / max(1, (truth >= 0).sum())), 4)
        tried.append({"effort": effort, "recall": share, "ms_a_query": round(1e3 * spent / queries, 3)})
        tell(f"{opened.kind}: effort {effort}: recall@{k} {share:.4f}")
        if share >= wanted or effort >= most:
            return tried, tried[-1]
        effort = min(2 * effort, most)


def _others(found: NDArray[np.int64], rows: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """Each query's first k without its own row."""
    order = np.argsort(found == rows[:, None], axis=1, kind="stable")
    return np.take_along_axis(found, order, 1)[:, :k]


def open_approximate(folder: Path, said: dict[str, Any]) -> Approximate:
    """Open what a card speaks of.

    Raises:
        RunError: faiss is not installed, or the file is missing or damaged.
    """
    faiss = _faiss()
    path = files.inside(folder, said["file"])
    if not path.is_file() or files.digest(path) != said["sha256"]:
        raise RunError(
            f"{path}: missing, or changed since it was written; build it again with: linnet index {folder} "
            f"--approximate {said['kind']}"
        )
    inner = faiss.read_index(str(path))
    return Approximate(said["kind"], int(said["effort"]), inner)


def _faiss() -> Any:
    try:
        found = import_module("faiss")
    except ImportError:
        raise RunError('approximate search needs faiss: pip install "linnet[search]"') from None
    found.omp_set_num_threads(torch.get_num_threads())
    return found
