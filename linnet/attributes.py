"""The attributes table: a description vector, as numbers, for each class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from linnet.errors import ManifestError, nearest
from linnet.hierarchy import first_few
from linnet.tables import column_names, read_columns
from linnet.taxonomy import Taxonomy

__all__ = ["Attributes", "read_attributes"]


@dataclass(frozen=True, eq=False)
class Attributes:
    """Description vectors of classes.

    Attributes:
        names: the classes that are described, in the table's order, (n,).
        columns: what each number means, (A,).
        values: float32 (n, A), all finite.
    """

    names: tuple[str, ...]
    columns: tuple[str, ...]
    values: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.values.shape != (len(self.names), len(self.columns)):
            raise ValueError(
                f"values are {self.values.shape}, not {(len(self.names), len(self.columns))} as names and columns say"
            )

    def of(self, classes: Sequence[str]) -> NDArray[np.float32]:
        """The vectors of `classes`, in that order: float32 (len(classes), A).

        Raises:
            ManifestError: classes without a description; lists them.
        """
        at = {name: number for number, name in enumerate(self.names)}
        missing = [repr(name) for name in classes if name not in at]
        if missing:
            missing[0] += nearest(missing[0][1:-1], self.names)
            raise ManifestError(
                f"the attributes table describes {len(self.names)} classes, and not "
                f"these:\n{first_few(missing)}\n"
                "Add a row for each."
            )
        return self.values[[at[name] for name in classes]]


def read_attributes(source: Path | str, taxonomy: Taxonomy | None = None) -> Attributes:
    """Read a CSV, TSV or Parquet (or JSONL) table: the class name in the first column, then one number a
    column.

    With `taxonomy`, every name must be one of its classes, at any level.

    Raises:
        ManifestError: the file cannot be read; no column of numbers; a cell that is no finite number; a class
            that is blank, there twice, or not in the taxonomy. Names the rows.
    """
    columns = column_names(source)
    if len(columns) < 2:
        raise ManifestError(
            f"{source}: only the column {columns[0]!r}; expected the class name, then columns of numbers"
        )
    table = read_columns(source, columns, numbers=columns[1:])
    names = table.texts(columns[0])
    problems: list[str] = []
    allowed = {name for level in taxonomy.classes for name in level} if taxonomy else None
    first: dict[str, int] = {}
    for row, name in enumerate(names):
        if not name:
            problems.append(f"{table.where(row)}: the class name is blank")
        elif first.setdefault(name, row) != row:
            problems.append(f"{table.where(row)}: class {name!r} is there already, at {table.where(first[name])}")
        elif allowed is not None and name not in allowed:
            close = nearest(name, allowed) if len(problems) < 5 else ""  # slow
            problems.append(f"{table.where(row)}: no class {name!r} in the taxonomy{close}")
    values = np.zeros((len(names), len(columns) - 1), dtype=np.float32)
    for number, column in enumerate(columns[1:]):
        for row, cell in enumerate(table.columns[column].to_pylist()):
            value = _number(cell)
            if value is None:
                problems.append(f"{table.where(row)}, column {column!r}: {cell!r} is not a finite number")
            else:
                values[row, number] = value
    if problems:
        raise ManifestError(
            f"{source}: attributes that cannot be used:\n{first_few(problems)}\n"
            "Each class has one row, and each of its cells a number such as 0.25."
        )
    return Attributes(tuple(names), tuple(columns[1:]), values)


def _number(cell: object) -> float | None:
    """The cell as a float32-finite number, or None."""
    try:
        value = float(cell)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return value if abs(value) <= float(np.finfo(np.float32).max) else None
