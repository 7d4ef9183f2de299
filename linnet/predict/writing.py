"""Answers written as they come, to a file that appears whole, or to the terminal; and embeddings beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from linnet import files
from linnet.errors import RunError
from linnet.predict.answers import Answered
from linnet.predict.rows import Layout, Row, csv_lines, json_line, table_heading, table_lines

__all__ = ["Format", "Sink", "format_of", "open_sink"]

Format = Literal["csv", "jsonl", "table"]

_BY_SUFFIX: dict[str, Format] = {".csv": "csv", ".jsonl": "jsonl"}


def format_of(out: Path | None, given: Format | None) -> Format:
    """How to write: as given, else by the file's suffix, else a table.

    Raises:
        RunError: a file of another suffix without a format, or of one that says otherwise.
    """
    named = None if out is None else _BY_SUFFIX.get(out.suffix.lower())
    if out is not None and named is None and given is None:
        raise RunError(f"--out {out}: end it in {' or '.join(_BY_SUFFIX)}, or add --format csv, jsonl or table")
    if None not in (named, given) and named != given:
        raise RunError(f"--out {out} --format {given}: the file's suffix says {named}; leave one of the two out")
    return given or named or "table"


@dataclass
class Sink:
    """Where rows go: `put` writes one, and its embedding where those are wanted (NaN of a broken image)."""

    write: Callable[[str], object]
    line: Callable[[Row], str]
    vectors: NDArray[np.float32] | None
    done: int = 0

    def put(self, row: Row) -> None:
        """Write one row.

        Raises:
            RunError: more images than were counted before.
        """
        self.write(self.line(row))
        if self.vectors is not None:
            if self.done >= len(self.vectors):
                raise RunError("images were added while they were read; run it again")
            self.vectors[self.done] = row.said.embedding if isinstance(row.said, Answered) else np.nan
        self.done += 1


@contextmanager
def open_sink(
    layout: Layout,
    kind: Format,
    echo: Callable[[str], object],
    out: Path | None = None,
    embeddings: Path | None = None,
    shape: tuple[int, int] = (0, 0),
) -> Iterator[Sink]:
    """A sink that writes to `out`, or by `echo` where there is none; files take their names when all went well.

    Args:
        embeddings: a .npy file of float32, one row an image in the order of the answers.
        shape: images and D.

    Raises:
        RunError: fewer images than were counted.
    """
    heading, line = _lines(layout, kind)
    with ExitStack() as held:
        write = echo
        if out is not None:
            write = held.enter_context(files.atomic_text(out)).write
        vectors = None
        if embeddings is not None:
            aside = held.enter_context(files.atomic_path(embeddings))
            vectors = np.lib.format.open_memmap(aside, mode="w+", dtype=np.float32, shape=shape)
        sink = Sink(write, line, vectors)
        write(heading)
        yield sink
        if vectors is not None:
            if sink.done != len(vectors):
                raise RunError("images were removed while they were read; run it again")
            vectors.flush()


def _lines(layout: Layout, kind: Format) -> tuple[str, Callable[[Row], str]]:
    if kind == "csv":
        return csv_lines(layout)
    if kind == "jsonl":
        return "", lambda row: json_line(row, layout)
    return table_heading(layout), lambda row: "".join(table_lines(row, layout))
