"""CSV and TSV as text, fast through pyarrow; slowly, line by line, only to say what is wrong and where."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv

from linnet.errors import ManifestError
from linnet.hierarchy import first_few

__all__ = ["DELIMITERS", "delimiter_of", "header", "read"]

DELIMITERS = {".csv": ",", ".tsv": "\t"}
_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


def delimiter_of(path: Path, given: str | None = None) -> str:
    """What separates the cells: as given, else a tab in a .tsv, else a comma.

    A .csv whose header has semicolons and no comma has semicolons: where a comma marks decimals, spreadsheets write
    it so.
    """
    if given is not None:
        return given
    usual = DELIMITERS[path.suffix.lower()]
    if usual == ",":
        try:
            cells = next((row for _, row in _rows(path, usual) if row), [])
        except (UnicodeDecodeError, csv.Error):
            return usual  # `header` says what is wrong
        if len(cells) == 1 and ";" in cells[0]:
            return ";"
    return usual


def header(path: Path, delimiter: str, checked: bool = False) -> list[str]:
    """The cells of the first line that is not empty.

    `checked`: the delimiter was given by the user, so a header of one cell is meant.

    Raises:
        ManifestError: not UTF-8 text, no line, or separated by something else.
    """
    with path.open("rb") as stream:
        start = stream.read(4)
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise ManifestError(f"{path}: UTF-16 text; save it as 'CSV UTF-8'")
    try:
        cells = next((row for _, row in _rows(path, delimiter) if row), None)
    except UnicodeDecodeError:
        raise ManifestError(_not_utf8(path)) from None
    except csv.Error as error:
        raise ManifestError(f"{path}, line 1: not a readable header ({error})") from None
    if cells is None:
        raise ManifestError(f"{path}: there are only empty lines; it needs a header line with the column names")
    if len(cells) == 1 and not checked:
        for other, name in _NAMES.items():
            if other != delimiter and other in cells[0]:
                raise ManifestError(
                    f"{path}: cells are separated by {name}, not by {_NAMES.get(delimiter, delimiter)}. Save "
                    "it with "
                    f"{_NAMES.get(delimiter, delimiter)}, or read it with delimiter={other!r}"
                    + (" or the suffix .tsv." if other == "\t" else ".")
                )
    return cells


def read(
    path: Path, names: Sequence[str], columns: Sequence[str], plain: Sequence[str], delimiter: str
) -> tuple[dict[str, pa.ChunkedArray], Sequence[int]]:
    """The columns as text, and each row's line number as an editor shows it (empty when it cannot be told).

    Raises:
        ManifestError: lines with too many or too few cells, not UTF-8, or an open quote; names the lines.
    """
    breaks, quotes = _scan(path)
    raw = header(path, delimiter, checked=True)
    given = {name: raw[list(names).index(name)] for name in columns}
    texts = pa.dictionary(pa.int32(), pa.string())
    try:
        table = pa_csv.read_csv(
            path,
            read_options=pa_csv.ReadOptions(block_size=1 << 22),
            parse_options=pa_csv.ParseOptions(delimiter=delimiter, newlines_in_values=quotes),
            convert_options=pa_csv.ConvertOptions(
                column_types={given[name]: pa.string() if name in plain else texts for name in columns},
                include_columns=list(given.values()),
                null_values=[],
                strings_can_be_null=False,
            ),
        )
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise ManifestError(_explain(path, delimiter, len(raw), str(error))) from None
    lines: Sequence[int] = range(2, table.num_rows + 2)
    if breaks != table.num_rows + 1:
        lines = [line for line, row in _rows(path, delimiter) if row][1:]
    return {name: table.column(given[name]) for name in columns}, lines if len(lines) == table.num_rows else ()


def _rows(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Rows with the line on which each begins; an empty line is an empty row."""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream, delimiter=delimiter)
        line = 1
        for row in reader:
            yield line, row
            line = reader.line_num + 1


def _scan(path: Path) -> tuple[int, bool]:
    """Number of lines (-1 when carriage returns make it unsure), and whether there is a quote."""
    feeds = returns = pairs = 0
    quotes, last = False, b""
    with path.open("rb") as stream:
        while piece := stream.read(1 << 22):
            feeds += piece.count(b"\n")
            if b"\r" in piece or last == b"\r":
                returns += piece.count(b"\r")
                pairs += (last + piece).count(b"\r\n")
            quotes = quotes or b'"' in piece
            last = piece[-1:]
    return (feeds + (last != b"\n") if returns == pairs else -1), quotes


def _not_utf8(path: Path) -> str:
    problems: list[str] = []
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                line.decode()
            except UnicodeDecodeError:
                problems.append(f"line {number}: {line.strip().decode('latin-1')[:80]!r}")
    shown = first_few(problems)
    return f"{path}: not UTF-8 text:\n{shown}\nSave it as 'CSV UTF-8' in the spreadsheet or editor."


def _explain(path: Path, delimiter: str, width: int, error: str) -> str:
    """Which lines pyarrow could not read, and why."""
    problems: list[str] = []
    line = 1
    try:
        for line, row in _rows(path, delimiter):
            if row and len(row) != width:
                problems.append(f"line {line}: {len(row)} cells instead of {width}: {delimiter.join(row)[:80]!r}")
    except UnicodeDecodeError:
        return _not_utf8(path)
    except csv.Error as reason:
        problems.append(f"after line {line}: {reason}; is a quote left open?")
    if not problems:
        problems.append(f"{error}; is a quote left open?")
    return (
        f"{path}: lines that cannot be read:\n{first_few(problems)}\n"
        f"Every line needs {width} cells; put quotes around a cell that holds {delimiter!r}."
    )
