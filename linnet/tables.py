"""Tables of text from CSV, TSV, Parquet and JSONL: every cell stays text, and every row knows its place in
the file.

Only the empty cell is blank: '007' keeps its zeros, and 'NA' and 'null' are names like others.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.json as pa_json
import pyarrow.parquet as pq
from numpy.typing import NDArray

from linnet import csv_text
from linnet.errors import ManifestError, nearest
from linnet.hierarchy import first_few

__all__ = ["SUFFIXES", "Places", "TextTable", "column_names", "encode", "read_columns"]

SUFFIXES = (".csv", ".tsv", ".parquet", ".jsonl")
"""The kinds of table that are read and written."""


@dataclass(frozen=True)
class Places:
    """Where rows stand in their source: `numbers[i]` is the line or row number (1-based) of row i."""

    word: str
    numbers: Sequence[int] | NDArray[np.int64]

    def take(self, rows: NDArray[np.int64]) -> Places:
        """The places of some of the rows."""
        return Places(self.word, np.asarray(self.numbers, dtype=np.int64)[rows])


@dataclass(frozen=True)
class TextTable:
    """Columns of text by name, (N,) each; label columns are dictionary-encoded where the format allows."""

    source: str
    columns: dict[str, pa.ChunkedArray]
    places: Places

    def where(self, row: int) -> str:
        """The place of a row for messages: 'photos.csv, line 17'."""
        return f"{self.source}, {self.places.word} {self.places.numbers[row]}"

    def texts(self, column: str) -> list[str]:
        """A column as Python strings without outer spaces, '' where blank; for small tables."""
        return [(cell or "").strip() for cell in self.columns[column].to_pylist()]


def column_names(source: Path | str, delimiter: str | None = None) -> list[str]:
    """The column names of a table, outer spaces removed.

    Raises:
        ManifestError: no such file, an unknown suffix, an empty or unreadable file, a name twice or blank.
    """
    path = Path(source)
    kind = path.suffix.lower()
    if kind not in SUFFIXES:
        raise ManifestError(
            f"{path}: unknown kind of table {kind!r}{nearest(kind, SUFFIXES)}; readable are "
            f"{', '.join(SUFFIXES)} and "
            "folders of images. From a spreadsheet, save as CSV (UTF-8)."
        )
    if not path.is_file():
        raise ManifestError(f"{path}: no such file{_sibling(path)}")
    if path.stat().st_size == 0:
        raise ManifestError(f"{path}: the file is empty; it needs a header line with the column names, then rows")
    if kind == ".parquet":
        names = list(_parquet(path).schema_arrow.names)
    elif kind == ".jsonl":
        names = _jsonl_names(path)
    else:
        names = csv_text.header(path, csv_text.delimiter_of(path, delimiter), checked=delimiter is not None)
    stripped = [name.strip() for name in names]
    blank = [str(number) for number, name in enumerate(stripped, start=1) if not name]
    if blank:
        raise ManifestError(f"{path}: column {', '.join(blank)} has no name; name it or delete it")
    twice = sorted({name for name in stripped if stripped.count(name) > 1})
    if twice:
        raise ManifestError(f"{path}: column {twice[0]!r} is there twice; rename or delete one")
    return stripped


def _sibling(path: Path) -> str:
    there = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    return nearest(path.name, there)


def read_columns(
    source: Path | str,
    columns: Sequence[str],
    *,
    plain: Sequence[str] = (),
    numbers: Sequence[str] = (),
    delimiter: str | None = None,
) -> TextTable:
    """Read columns of a table as text.

    Args:
        source: a .csv, .tsv, .parquet or .jsonl file.
        columns: the columns to read; they must be there.
        plain: columns with hardly a value twice (image paths), kept as plain strings.
        numbers: columns that stay numbers where the format has them (Parquet, JSONL).
        delimiter: what separates the cells of a CSV or TSV file, when not ',' or a tab; see `csv_text.delimiter_of`.

    Raises:
        ManifestError: see `column_names`; a column that is missing; cells that cannot be read, with their
            lines.
    """
    path = Path(source)
    names = column_names(path, delimiter)
    for name in columns:
        if name not in names:
            raise ManifestError(
                f"{path}: no column {name!r}; the columns are {', '.join(names)}{nearest(name, names)}. "
                f"Rename the column or add one called {name!r}."
            )
    kind = path.suffix.lower()
    if kind == ".parquet":
        table = TextTable(str(path), *_read_parquet(path, names, columns, numbers))
    elif kind == ".jsonl":
        table = TextTable(str(path), *_read_jsonl(path, names, columns, numbers))
    else:
        given = csv_text.delimiter_of(path, delimiter)
        cells, lines = csv_text.read(path, names, columns, plain, given)
        table = TextTable(
            str(path),
            cells,
            Places("line", lines) if lines else Places("row", range(1, len(cells[columns[0]]) + 1)),
        )
    if not len(table.columns[columns[0]]):
        raise ManifestError(f"{path}: there are no rows below the column names")
    return table


def encode(column: pa.ChunkedArray) -> tuple[NDArray[np.int32], list[str]]:
    """Codes (N,) and the distinct texts, sorted, outer spaces removed; -1 where blank."""
    array = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    whole = array.unify_dictionaries().combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        whole = whole.chunk(0)
    texts = [(text or "").strip() for text in whole.dictionary.to_pylist()]
    distinct = sorted(set(texts) - {""})
    number = {text: code for code, text in enumerate(distinct)}
    # The last entry serves index -1, which stands for null.
    recode = np.array([number.get(text, -1) for text in texts] + [-1], dtype=np.int32)
    return recode[whole.indices.fill_null(-1).to_numpy(zero_copy_only=False)], distinct


def _parquet(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise ManifestError(f"{path}: not a readable Parquet file ({error})") from None


def _read_parquet(
    path: Path, names: Sequence[str], columns: Sequence[str], numbers: Sequence[str]
) -> tuple[dict[str, pa.ChunkedArray], Places]:
    file = _parquet(path)
    raw = list(file.schema_arrow.names)
    wanted = [raw[list(names).index(name)] for name in columns]
    table = file.read(columns=wanted)
    result: dict[str, pa.ChunkedArray] = {}
    for name, given in zip(columns, wanted, strict=True):
        column = table.column(given)
        result[name] = column if name in numbers else _as_text(path, name, column)
    return result, Places("row", range(1, table.num_rows + 1))


def _as_text(path: Path, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
        if pa.types.is_string(kind):
            return column
    if pa.types.is_string(kind):
        return column
    if (
        pa.types.is_integer(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_null(kind)
        or str(kind) == "string_view"
    ):
        return column.cast(pa.string())
    if pa.types.is_struct(kind) or pa.types.is_binary(kind):
        raise ManifestError(
            f"{path}: column {name!r} holds the images themselves, not their paths. Open the file with "
            "Hugging Face "
            "datasets, and read it with linnet.manifest.from_dataset(dataset, folder=...), which writes them "
            "out."
        )
    raise ManifestError(
        f"{path}: column {name!r} holds {kind}, not text; write it as text (in pandas: .astype(str)). "
        "Labels that pandas turned into 3.0 because of blanks are '3' and ''."
    )


def _jsonl_names(path: Path) -> list[str]:
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                first = json.loads(line.decode("utf-8-sig"))
            except UnicodeDecodeError:
                raise ManifestError(f"{path}, line {number}: not UTF-8 text; save the file as UTF-8") from None
            except json.JSONDecodeError as error:
                raise ManifestError(f"{path}, line {number}: not JSON ({error}); each line is one object") from None
            if not isinstance(first, dict):
                raise ManifestError(f'{path}, line {number}: not a JSON object such as {{"image": "a.jpg"}}')
            return list(first)
    raise ManifestError(f"{path}: there are no rows; each line is one JSON object")


def _read_jsonl(
    path: Path, names: Sequence[str], columns: Sequence[str], numbers: Sequence[str]
) -> tuple[dict[str, pa.ChunkedArray], Places]:
    """pyarrow reads it fast, with every field declared as text so that dates and numbers are not guessed."""
    with path.open("rb") as stream:
        content = stream.read()
    content = content.removeprefix(b"\xef\xbb\xbf")
    schema = pa.schema([pa.field(name, pa.float64() if name in numbers else pa.string()) for name in names])
    try:
        table = pa_json.read_json(
            pa.BufferReader(content),
            read_options=pa_json.ReadOptions(block_size=1 << 24),
            parse_options=pa_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error"),
        )
        table.validate(full=True)
    except pa.ArrowException as error:
        raise ManifestError(
            _explain_jsonl(path, content, names, numbers) or f"{path}: not readable JSON lines ({error})"
        ) from None
    lines: Sequence[int] = range(1, table.num_rows + 1)
    if content.count(b"\n") + (not content.endswith(b"\n")) != table.num_rows:
        lines = [number for number, line in enumerate(content.split(b"\n"), start=1) if line.strip()]
    places = Places("line", lines) if len(lines) == table.num_rows else Places("row", range(1, table.num_rows + 1))
    return {name: table.column(name) for name in columns}, places


def _explain_jsonl(path: Path, content: bytes, names: Sequence[str], numbers: Sequence[str]) -> str:
    """What is wrong with which lines, found slowly; '' when nothing is found."""
    problems: list[str] = []
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        try:
            row = json.loads(line)
        except UnicodeDecodeError:
            problems.append(f"{place}: not UTF-8 text; save the file as UTF-8")
            continue
        except json.JSONDecodeError as error:
            problems.append(f"{place}: not JSON ({error})")
            continue
        if not isinstance(row, dict):
            problems.append(f"{place}: not a JSON object")
            continue
        stray = [key for key in row if key not in names]
        if stray:
            problems.append(f"{place}: the key {stray[0]!r} is not in the first line, which sets the order of columns")
        for key, cell in row.items():
            if key in numbers and not isinstance(cell, int | float | None):
                problems.append(f"{place}: {key!r} is {cell!r}, not a number")
            elif key not in numbers and not isinstance(cell, str | None):
                problems.append(f"{place}: {key!r} is {cell!r}, not text; put it in quotes")
    if not problems:
        return ""
    return (
        f"{path}: lines that cannot be read:\n{first_few(problems)}\n"
        "Each line is one JSON object; the first has every key (null where blank)."
    )
