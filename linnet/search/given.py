"""An index of vectors that are there already: an array or a Parquet table, and a table of what they stand for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from linnet import files
from linnet.errors import ManifestError, RunError
from linnet.manifest import Manifest, read_manifest
from linnet.metrics.unit_vectors import unit_rows
from linnet.search.build import commit
from linnet.search.card import CARD, Card, locked_index, read_card
from linnet.search.collection import Collection
from linnet.search.index import Index
from linnet.search.parts import Parts
from linnet.search.rows import RowTable
from linnet.taxonomy import Taxonomy
from linnet.training.environment import environment

__all__ = ["index_vectors", "read_vectors"]

_BLOCK = 1 << 15

Vectors = NDArray[np.floating[Any]]


def read_vectors(path: Path | str) -> Vectors:
    """Vectors (N, D) of a file: .npy, mapped into memory, or the one column of lists of numbers of a .parquet.

    Raises:
        ManifestError: the file cannot be read, or holds no such numbers.
    """
    path = Path(path)
    try:
        if path.suffix.lower() == ".npy":
            found = np.load(path, mmap_mode="r", allow_pickle=False)
        elif path.suffix.lower() == ".parquet":
            found = _column(path)
        else:
            raise ManifestError(f"{path}: give vectors as .npy, (N, D), or as a .parquet with a column of lists")
    except (OSError, ValueError, EOFError, pa.ArrowException) as error:
        raise ManifestError(f"{path}: cannot be read as vectors ({error})") from None
    if found.ndim != 2 or not np.issubdtype(found.dtype, np.floating) or 0 in found.shape:
        raise ManifestError(f"{path}: {found.dtype} of shape {found.shape}; need floating numbers (N, D)")
    vectors: Vectors = found
    return vectors


def _column(path: Path) -> Vectors:
    table = pq.read_table(path)
    lists = [field.name for field in table.schema if _is_list(field.type)]
    if len(lists) != 1:
        raise ManifestError(f"{path}: {len(lists)} columns of lists ({', '.join(lists)}); need one, the vectors")
    column = table[lists[0]].combine_chunks()
    lengths = np.asarray(column.value_lengths().to_numpy(zero_copy_only=False)) if len(column) else np.zeros(1)
    if column.null_count or (lengths != lengths[0]).any():
        raise ManifestError(f"{path}: the vectors of column {lists[0]!r} are not all of one length")
    return np.asarray(column.flatten().to_numpy(zero_copy_only=False)).reshape(len(column), -1)


def _is_list(kind: pa.DataType) -> bool:
    return any(is_one(kind) for is_one in (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list))


def _names(path: Path, table: Path | None, count: int) -> tuple[Manifest, bool]:
    """What the rows stand for, and whether they have names of images."""
    source = table
    if source is None and path.suffix.lower() == ".parquet":
        named = {field.name.lower() for field in pq.read_schema(path)}
        source = path if "image" in named else None
    if source is not None:
        levels = None
        if source == path:
            texts = [
                f.name for f in pq.read_schema(path) if pa.types.is_string(f.type) or pa.types.is_dictionary(f.type)
            ]
            levels = [name for name in texts if name.lower() not in ("image", "split")]
        manifest = read_manifest(source, levels=levels)
        if len(manifest) != count:
            raise ManifestError(f"{source}: {len(manifest):,} rows for the {count:,} vectors of {path}")
        return manifest, True
    images = pa.array([str(row) for row in range(count)], pa.string())
    nothing = np.full((count, 1), -1, np.int64), (), np.full(count, -1, np.int8)
    return Manifest(str(path), path.parent, images, Taxonomy(("class",), ((),), ((),)), *nothing), False


def index_vectors(vectors: Path | str, out: Path | str, table: Path | str | None = None) -> Index:
    """Write an index of vectors that some other program made; a call that was broken off goes on.

    Args:
        vectors: .npy (N, D), or .parquet with one column of lists, whose columns `image`, `split` and levels, all of
            text, say what the rows stand for.
        out: the folder to write.
        table: what the rows stand for, row by row: a table as `read_manifest` takes it; row numbers when None.

    Raises:
        ManifestError: a file cannot be read, the two do not fit, or a vector is not finite or has no direction.
        RunError: `out` holds an index of something else.
    """
    path, out = Path(vectors).expanduser(), files.make_folder(out)
    given = read_vectors(path)
    manifest, named = _names(path, None if table is None else Path(table).expanduser(), len(given))
    collection = Collection.of(manifest)
    kind = {"kind": "vectors", "sha256": files.digest(path)}
    identity: dict[str, Any] = {"embedder": kind, "data": manifest.fingerprint, "asked": None, "rows": len(given)}
    with locked_index(out):
        if (out / CARD).exists():
            if read_card(out).about.get("made_of") != identity:
                raise RunError(f"{out} holds an index of something else already; give another --out")
            return Index.open(out)
        parts = Parts(out, "vectors-1.f32", given.shape[1], 0, identity)
        for start in range(parts.resume(lambda start, stop: f"{start} {stop}"), len(given), _BLOCK):
            block = _units(path, np.ascontiguousarray(given[start : start + _BLOCK]), start)
            parts.add(block, np.full(len(block), -1, np.int64), f"{start} {start + len(block)}")
        source = collection.source | {"vectors": str(path.absolute()), "arrays": not named}
        card = Card(
            given.shape[1],
            "vectors-1.f32",
            tuple(parts.parts),
            "",
            "",
            manifest.taxonomy.to_json(),
            {"identity": kind},
            (source,),
            {},
            about=environment(torch.device("cpu")) | {"made_of": identity},
        )
        rows, count = manifest.rows(), len(manifest)
        commit(out, card, RowTable(
            manifest.images.to_pylist(), list(collection.splits), np.zeros(count, np.int64), rows, [""] * count,
            manifest.targets, np.full(count, -1, np.int64),
        ))  # fmt: skip
        parts.done()
    return Index.open(out, check=False)


def _units(path: Path, block: NDArray[Any], start: int) -> NDArray[np.float32]:
    """Unit vectors of a block of a file.

    Raises:
        ManifestError: a value is not finite, or a row is 0 and points nowhere; names the row.
    """
    wide = block.astype(np.float32) if block.dtype == np.float16 else block
    bad = np.flatnonzero(~np.isfinite(wide).all(1) | ~wide.any(1))
    if len(bad):
        raise ManifestError(f"{path}: row {start + int(bad[0])} is 0 or not finite, and has no direction")
    return unit_rows(wide, str(path)).exact.numpy()
