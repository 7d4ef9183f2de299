"""The attributes table: a description vector, as numbers, for each class.

A text table (CSV, TSV, Parquet, JSONL) has the class name in its first column, then a column for each number. An array,
`birds.npy` (n, A), has its class names beside it in `birds.names.txt`, one a line in the order of the rows, and may
have names of its columns in `birds.columns.txt`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from linnet import files
from linnet.errors import ManifestError, nearest
from linnet.hierarchy import first_few
from linnet.tables import column_names, read_columns
from linnet.taxonomy import Taxonomy

__all__ = ["Attributes", "read_attributes", "write_attributes"]


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
    """Read a table or an array, see the module's text.

    With `taxonomy`, every name must be one of its classes, at any level.

    Raises:
        ManifestError: the file cannot be read; no column of numbers; a cell that is no finite number; a class
            that is blank, there twice, or not in the taxonomy. Names the rows.
    """
    found = _read_array(Path(source)) if Path(source).suffix.lower() == ".npy" else _read_table(source)
    problems = _unusable_names(found.names, found.where, taxonomy) + found.problems
    if problems:
        raise ManifestError(
            f"{source}: attributes that cannot be used:\n{first_few(problems)}\n"
            "Each class has one row, and each of its cells a number such as 0.25."
        )
    return Attributes(tuple(found.names), tuple(found.columns), found.values)


def write_attributes(attributes: Attributes, target: Path | str) -> None:
    """Write a table that `read_attributes` reads: .npy with its names beside it, .csv or .tsv.

    Raises:
        ManifestError: another suffix, or a name that holds what separates the cells.
    """
    target = Path(target)
    kind = target.suffix.lower()
    if kind == ".npy":
        with files.atomic_path(target) as aside:
            np.save(aside, attributes.values, allow_pickle=False)
        for names, what in ((attributes.names, "names"), (attributes.columns, "columns")):
            files.write_text(_beside(target, what), "\n".join(names) + "\n")
        return
    if kind not in (".csv", ".tsv"):
        raise ManifestError(f"{target}: a table of attributes is written as .npy, .csv or .tsv, not as {kind!r}")
    text = io.StringIO()
    writer = csv.writer(text, delimiter="," if kind == ".csv" else "\t", lineterminator="\n")
    writer.writerow(("class", *attributes.columns))
    for name, row in zip(attributes.names, attributes.values, strict=True):
        writer.writerow((name, *(repr(float(value)) for value in row)))
    files.write_text(target, text.getvalue())


@dataclass(frozen=True)
class _Found:
    """What a file holds, before names are looked at."""

    names: Sequence[str]
    columns: Sequence[str]
    values: NDArray[np.float32]
    where: Callable[[int], str]
    problems: list[str]


def _read_table(source: Path | str) -> _Found:
    columns = column_names(source)
    if len(columns) < 2:
        raise ManifestError(
            f"{source}: only the column {columns[0]!r}; expected the class name, then columns of numbers"
        )
    table = read_columns(source, columns, numbers=columns[1:])
    names, problems = table.texts(columns[0]), []
    values = np.zeros((len(names), len(columns) - 1), dtype=np.float32)
    for number, column in enumerate(columns[1:]):
        for row, cell in enumerate(table.columns[column].to_pylist()):
            value = _number(cell)
            if value is None:
                problems.append(f"{table.where(row)}, column {column!r}: {cell!r} is not a finite number")
            else:
                values[row, number] = value
    return _Found(names, columns[1:], values, table.where, problems)


def _read_array(path: Path) -> _Found:
    """An array and the names beside it."""
    if not path.is_file():
        raise ManifestError(f"{path}: no such file")
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ManifestError(f"{path}: not a readable array of numbers ({error})") from None
    if array.ndim != 2 or not np.issubdtype(array.dtype, np.number) or np.iscomplexobj(array):
        raise ManifestError(
            f"{path}: {array.dtype} of shape {array.shape}; expected numbers, a row for each class and a column for "
            "each attribute"
        )
    names = _lines(path, "names", array.shape[0])
    columns = _lines(path, "columns", array.shape[1])
    if names is None:
        raise ManifestError(
            f"{path}: whose vectors these are must stand in {_beside(path, 'names')}: {array.shape[0]} class names, "
            "one a line, in the order of the rows"
        )
    with np.errstate(over="ignore"):
        values = array.astype(np.float32)
    bad = np.argwhere(~np.isfinite(values)).tolist()
    problems = [f"row {row + 1}, column {column + 1}: {array[row, column]} is not finite" for row, column in bad]
    columns = columns or [f"attribute_{number}" for number in range(1, array.shape[1] + 1)]
    return _Found(names, columns, values, lambda row: f"{_beside(path, 'names')}, line {row + 1}", problems)


def _beside(path: Path, what: str) -> Path:
    return path.with_name(f"{path.stem}.{what}.txt")


def _lines(path: Path, what: str, count: int) -> list[str] | None:
    """The names beside an array, as many as it has rows or columns; None where there is no such file."""
    beside = _beside(path, what)
    if not beside.is_file():
        return None
    try:
        lines = beside.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise ManifestError(f"{beside}: not UTF-8 text; save the file as UTF-8") from None
    if len(lines) != count:
        raise ManifestError(f"{beside}: {len(lines)} lines for {count} {'rows' if what == 'names' else what} of {path}")
    return [line.strip() for line in lines]


def _unusable_names(names: Sequence[str], where: Callable[[int], str], taxonomy: Taxonomy | None) -> list[str]:
    """Names that are blank, there twice, or of no class."""
    problems: list[str] = []
    allowed = {name for level in taxonomy.classes for name in level} if taxonomy else None
    first: dict[str, int] = {}
    for row, name in enumerate(names):
        if not name:
            problems.append(f"{where(row)}: the class name is blank")
        elif first.setdefault(name, row) != row:
            problems.append(f"{where(row)}: class {name!r} is there already, at {where(first[name])}")
        elif allowed is not None and name not in allowed:
            close = nearest(name, allowed) if len(problems) < 5 else ""  # slow
            problems.append(f"{where(row)}: no class {name!r} in the taxonomy{close}")
    return problems


def _number(cell: object) -> float | None:
    """The cell as a float32-finite number, or None."""
    try:
        value = float(cell)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return value if abs(value) <= float(np.finfo(np.float32).max) else None
