"""The rows of an index: image, split, classes, and where each came from; a Parquet table beside the vectors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from linnet import files
from linnet.errors import RunError

__all__ = ["RowTable", "read_rows", "write_rows"]

Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class RowTable:
    """What is known of N rows.

    Attributes:
        images: path or name of each, as its source has it.
        splits: "" without one.
        sources: number of the source, int64 (N,).
        rows: row in that source's manifest, int64 (N,).
        stamps: size and time of change of the file, "" of pixels and vectors.
        targets: class numbers of the index's taxonomy, int64 (N, L), -1 unknown.
        predicted: number of the coarse class that the bundle says, int64 (N,), -1 without.
    """

    images: list[str]
    splits: list[str]
    sources: Integers
    rows: Integers
    stamps: list[str]
    targets: Integers
    predicted: Integers

    def __len__(self) -> int:
        return len(self.images)

    def take(self, rows: Integers) -> RowTable:
        """Some rows."""
        images, splits, stamps = (
            [column[row] for row in rows.tolist()] for column in (self.images, self.splits, self.stamps)
        )
        return RowTable(
            images, splits, self.sources[rows], self.rows[rows], stamps, self.targets[rows], self.predicted[rows]
        )

    def join(self, other: RowTable) -> RowTable:
        """These rows, and then others."""
        return RowTable(
            self.images + other.images,
            self.splits + other.splits,
            np.concatenate([self.sources, other.sources]),
            np.concatenate([self.rows, other.rows]),
            self.stamps + other.stamps,
            np.concatenate([self.targets, other.targets]),
            np.concatenate([self.predicted, other.predicted]),
        )


def write_rows(path: Path, table: RowTable) -> str:
    """Write the table, atomically; its SHA-256."""
    levels = {f"level_{number}": column.astype(np.int32) for number, column in enumerate(table.targets.T)}
    columns = {
        "image": pa.array(table.images, pa.string()),
        "split": pa.array(table.splits, pa.string()).dictionary_encode(),
        "source": table.sources.astype(np.int32),
        "row": table.rows,
        "stamp": pa.array(table.stamps, pa.string()),
        "predicted": table.predicted.astype(np.int32),
        **levels,
    }
    with files.atomic_path(path) as aside:
        pq.write_table(pa.table(columns), aside, compression="zstd")
        return files.digest(aside)


def read_rows(path: Path, levels: int, count: int) -> RowTable:
    """Read the table.

    Raises:
        RunError: it is no such table, or of another number of rows.
    """
    try:
        table = pq.read_table(path)
        integers = {
            name: np.asarray(table[name].to_numpy(), np.int64)
            for name in ("source", "row", "predicted", *(f"level_{number}" for number in range(levels)))
        }
        images, splits, stamps = (table[name].to_pylist() for name in ("image", "split", "stamp"))
    except (OSError, pa.ArrowException, KeyError) as error:
        raise RunError(f"{path}: not the table of an index ({error}); index again") from None
    if len(images) != count:
        raise RunError(f"{path}: {len(images):,} rows for {count:,} vectors; index again")
    targets = np.stack([integers[f"level_{number}"] for number in range(levels)], axis=1)
    return RowTable(images, splits, integers["source"], integers["row"], stamps, targets, integers["predicted"])
