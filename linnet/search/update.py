"""An index kept up to date: images added, changed ones embedded again, others removed, an approximate index built.

Each change is one index.json: a call that is killed leaves the old state or the new, and goes on when given again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linnet import files
from linnet.errors import RunError
from linnet.search.approximate import build_approximate
from linnet.search.build import commit, extend, made_of, stamps_of, sweep
from linnet.search.card import Card, Part, locked_index, read_card, write_card
from linnet.search.collection import Collection
from linnet.search.embedders import Embedder
from linnet.search.index import Index
from linnet.search.merge import merge_taxonomies, renumber
from linnet.search.queries import check_made_by
from linnet.search.rows import RowTable

__all__ = ["Added", "add_approximate", "add_images", "remove_images"]

_BLOCK = 1 << 16

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Added:
    """What `add_images` did: images embedded because they are new, or have changed; those that were there already."""

    new: int
    changed: int
    known: int


def add_images(
    folder: Path | str, collection: Collection, embedder: Embedder, *, progress: bool | None = None
) -> tuple[Index, Added]:
    """Add a collection's images to an index; only what is not there, by its path, or has changed is embedded.

    Images that are there take split and labels from the collection. Classes that are new are added to the taxonomy.

    Raises:
        RunError: no index there, or another net made it.
        ManifestError, TaxonomyError: the classes do not go together.
        ImageError: images that cannot be decoded; names every one.
    """
    folder = Path(folder)
    with _alone(folder):
        index = Index.open(folder)
        check_made_by(index, embedder, str(embedder.told.get("run") or embedder.identity.get("name")))
        manifest = collection.manifest
        taxonomy, numbers = merge_taxonomies(index.taxonomy, manifest.taxonomy, manifest.source)
        targets = renumber(manifest.targets, numbers)
        table, fresh, stale, known = _compare(index, collection, targets)
        card = replace(index.card, taxonomy=taxonomy.to_json())
        if len(fresh):
            part = replace(collection, rows=fresh)
            card, table = extend(folder, card, table, embedder, part, made_of(embedder, part), progress, targets[fresh])
        elif known:
            card = commit(folder, card, table) if _differs(index, table) else index.card
        if stale:
            _drop(folder, card, table, np.asarray(stale, np.int64))
    changed = len(stale)
    return Index.open(folder, check=False), Added(len(fresh) - changed, changed, known)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold an index's lock.

    Raises:
        RunError: no index there.
    """
    read_card(folder)
    with locked_index(folder):
        yield


def _differs(index: Index, table: RowTable) -> bool:
    return table.splits != index.splits or not np.array_equal(table.targets, index.targets)


def _compare(index: Index, collection: Collection, targets: Integers) -> tuple[RowTable, Integers, list[int], int]:
    """The table with what the collection says of known rows; rows that are to be embedded; rows that do not hold any
    more; and how many are known."""
    roots = [Path(source["root"]) for source in index.card.sources]
    old = index.table
    at = {
        str(roots[s] / image): row for row, (image, s) in enumerate(zip(old.images, old.sources.tolist(), strict=True))
    }
    stale = set(range(len(old))) - set(at.values())  # rows that an interrupted call has replaced
    splits, classes, fresh, known = list(old.splits), old.targets.copy(), [], 0
    manifest = collection.manifest
    root = manifest.root.absolute()
    names = manifest.images.take(collection.rows).to_pylist()
    stamps = stamps_of(manifest, collection.rows)
    for row, name, stamp in zip(collection.rows.tolist(), names, stamps, strict=True):
        there = at.get(str(root / name))
        if there is None:
            fresh.append(row)
        elif old.stamps[there] != stamp:
            fresh.append(row)
            stale.add(there)
        else:
            known += 1
            splits[there], classes[there] = collection.splits[row], targets[row]
    return replace(old, splits=splits, targets=classes), np.asarray(fresh, np.int64), sorted(stale), known


def remove_images(folder: Path | str, patterns: Sequence[str]) -> tuple[Index, int]:
    """Remove rows by the path of their image, by a pattern such as '*/blurred-*', or by a folder; how many there were.

    The images stay where they are. The vectors that are left are written anew, so that row numbers have no gaps.

    Raises:
        RunError: no index there, a pattern that matches no row, or one that would leave none.
    """
    folder = Path(folder)
    with _alone(folder):
        index = Index.open(folder)
        paths = [index.file(row) or name for row, name in enumerate(index.names)]
        gone: set[int] = set()
        lacking = []
        for pattern in patterns:
            wanted = str(Path(pattern).absolute()) if Path(pattern).exists() else pattern
            those = [
                row
                for row, (name, path) in enumerate(zip(index.names, paths, strict=True))
                if _matches(pattern, name) or _matches(wanted, path)
            ]
            gone.update(those)
            lacking += [] if those else [pattern]
        if lacking:
            raise RunError(f"{folder}: no image matches {', '.join(map(repr, lacking))}; nothing was removed")
        if len(gone) == len(index):
            raise RunError(f"{folder}: that would remove all {len(index):,} images; remove the folder instead")
        card = replace(index.card, about=index.card.about | {"made_of": None})
        _drop(folder, card, index.table, np.asarray(sorted(gone), np.int64))
    return Index.open(folder, check=False), len(gone)


def _matches(pattern: str, name: str) -> bool:
    return name == pattern or name.startswith(pattern.rstrip("/") + "/") or fnmatchcase(name, pattern)


def _drop(folder: Path, card: Card, table: RowTable, rows: Integers) -> None:
    """Write the vectors without some rows to a new file, and the card that speaks of it."""
    keep = np.setdiff1d(np.arange(card.rows), rows)
    old = np.memmap(folder / card.vectors, "<f4", mode="r", shape=(card.rows, card.dim))
    number = 1 + int(card.vectors.removeprefix("vectors-").removesuffix(".f32"))
    name, parts, length = f"vectors-{number}.f32", [], 0
    for start in range(0, len(keep), _BLOCK):
        block = np.ascontiguousarray(old[keep[start : start + _BLOCK]])
        content = block.data.cast("B")
        length = files.append_bytes(folder / name, [content], length)
        parts.append(Part(len(block), hashlib.sha256(content).hexdigest()))
    commit(folder, replace(card, vectors=name, parts=tuple(parts)), table.take(keep))


def add_approximate(
    folder: Path | str, kind: str, *, recall: float = 0.95, k: int = 10, tell: Callable[[str], None] = lambda text: None
) -> tuple[Index, dict[str, Any]]:
    """Build an approximate index beside the vectors, in place of one that is there; see `build_approximate`.

    Returns:
        The index, and what its card says of it: parameters, time, and recall@k against exact search.

    Raises:
        RunError: no index there, faiss is not installed, or there are too few rows.
        RecipeError: no such kind.
    """
    folder = Path(folder)
    with _alone(folder):
        index = Index.open(folder)
        said = build_approximate(folder, index.vectors, kind, recall=recall, k=k, tell=tell)
        card = replace(index.card, approximate=said)
        write_card(folder, card)
        sweep(folder, card)
    return Index.open(folder, check=False), said
