"""A manifest written as a table, by the target's suffix."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from linnet.errors import ManifestError, nearest
from linnet.files import atomic_path
from linnet.tables import SUFFIXES

if TYPE_CHECKING:
    from linnet.manifest import Manifest

__all__ = ["write_manifest"]


def write_manifest(manifest: Manifest, target: Path | str) -> None:
    """Write images, splits and labels to a .csv, .tsv, .parquet or .jsonl table, atomically.

    Image paths are written as they are: they stay relative to `manifest.root`. Reading the table gives the
    same manifest, but for classes without an image; pixels and attributes are not written.

    Raises:
        ManifestError: another suffix, or a level called 'image' or 'split'.
    """
    target = Path(target)
    kind = target.suffix.lower()
    if kind not in SUFFIXES:
        raise ManifestError(f"{target}: cannot write {kind!r}{nearest(kind, SUFFIXES)}; use {', '.join(SUFFIXES)}")
    table = _table(manifest)
    with atomic_path(target) as aside:
        if kind == ".parquet":
            pq.write_table(table, aside)
        elif kind == ".jsonl":
            _write_jsonl(table, aside)
        else:
            options = pa_csv.WriteOptions(delimiter="\t" if kind == ".tsv" else ",")
            pa_csv.write_csv(_plain(table), aside, options)


def _table(manifest: Manifest) -> pa.Table:
    columns: dict[str, pa.Array | pa.ChunkedArray] = {"image": manifest.images}
    if manifest.split_names:
        columns["split"] = _decoded(manifest.split_codes, manifest.split_names)
    for number, level in enumerate(manifest.taxonomy.levels):
        if level in ("image", "split"):
            raise ManifestError(f"{manifest.source}: a level called {level!r} cannot be written; rename it")
        columns[level] = _decoded(manifest.targets[:, number], manifest.taxonomy.classes[number])
    return pa.table(columns)


def _decoded(codes: np.ndarray[tuple[int], np.dtype[np.integer]], names: tuple[str, ...]) -> pa.DictionaryArray:
    indices = pa.array(codes.astype(np.int32), mask=codes < 0)
    return pa.DictionaryArray.from_arrays(indices, pa.array(names, pa.string()))


def _plain(table: pa.Table) -> pa.Table:
    return table.cast(pa.schema([pa.field(name, pa.string()) for name in table.column_names]))


def _write_jsonl(table: pa.Table, aside: Path) -> None:
    with aside.open("w", encoding="utf-8", newline="\n") as stream:
        for batch in table.to_batches(max_chunksize=1 << 16):
            for row in batch.to_pylist():
                stream.write(json.dumps(row, ensure_ascii=False) + "\n")
