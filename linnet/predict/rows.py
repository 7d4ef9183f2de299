"""Answers as rows of CSV, lines of JSON, or a table for people; each row is written as its image is answered."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import StringIO
from typing import Any

from linnet.explain.scores import readable
from linnet.predict.answers import Answered, Failed, LevelAnswer

__all__ = ["Layout", "Neighbour", "Row", "csv_lines", "json_line", "table_heading", "table_lines"]

_IMAGE_WIDTH, _NAME_WIDTH = 36, 28


@dataclass(frozen=True)
class Neighbour:
    """An image of an index that is near: its cosine, and its known classes by level name."""

    image: str
    score: float
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """One image and what is said of it; `neighbours` only where an index was asked."""

    image: str
    said: Answered | Failed
    neighbours: tuple[Neighbour, ...] = ()


@dataclass(frozen=True)
class Layout:
    """What all rows have.

    Attributes:
        levels: names of the levels that are answered, coarsest first.
        calibrated: whether each is.
        top: classes listed at each level; no level's number of classes is below.
        least: the probability to back off at; None for no backing off.
        neighbours: how many.
    """

    levels: tuple[str, ...]
    calibrated: tuple[bool, ...]
    top: tuple[int, ...]
    least: float | None = None
    neighbours: int = 0


def json_line(row: Row, layout: Layout) -> str:
    """One image as a JSON object on a line."""
    content: dict[str, Any] = {"image": row.image, "error": None}
    if isinstance(row.said, Failed):
        return json.dumps({**content, "error": row.said.reason}, ensure_ascii=False) + "\n"
    content["levels"] = [
        {
            "level": each.level,
            "class": each.name,
            "probability": _rounded(each.probability),
            "calibrated": each.calibrated,
            "top": [[name, _rounded(value)] for name, value in each.top],
        }
        for each in row.said.levels
    ]
    if layout.least is not None:
        answer = row.said.backoff(layout.least)
        content["answer"] = answer and {
            "level": answer.level,
            "class": answer.name,
            "probability": _rounded(answer.probability),
        }
    if layout.neighbours:
        content["neighbours"] = [
            {"image": each.image, "score": _rounded(each.score), **each.labels} for each in row.neighbours
        ]
    return json.dumps(content, ensure_ascii=False) + "\n"


def csv_lines(layout: Layout) -> tuple[str, _CsvRows]:
    """The line of headings, and what makes a row's line.

    For each level the class, its probability and "calibrated" or "uncalibrated", then the next likeliest classes;
    where asked for, the answer that backing off gives ("none" where nothing reaches) and the neighbours; `error` last.
    """
    names = ["image"]
    for level, top in zip(layout.levels, layout.top, strict=True):
        names += [level, f"{level}_probability", f"{level}_calibration"]
        names += [name for rank in range(2, top + 1) for name in (f"{level}_{rank}", f"{level}_{rank}_probability")]
    if layout.least is not None:
        names += ["answer", "answer_level", "answer_probability"]
    for rank in range(1, layout.neighbours + 1):
        names += [f"neighbour_{rank}", f"neighbour_{rank}_score", f"neighbour_{rank}_class"]
    names.append("error")
    return _line(names), _CsvRows(layout, len(names))


@dataclass(frozen=True)
class _CsvRows:
    layout: Layout
    width: int

    def __call__(self, row: Row) -> str:
        if isinstance(row.said, Failed):
            return _line([row.image, *[""] * (self.width - 2), row.said.reason])
        cells = [row.image]
        for each in row.said.levels:
            (name, value), *others = each.top
            cells += [name, f"{value:.6f}", "calibrated" if each.calibrated else "uncalibrated"]
            cells += [cell for name, value in others for cell in (name, f"{value:.6f}")]
        if self.layout.least is not None:
            cells += _answer_cells(row.said.backoff(self.layout.least))
        for each_near in row.neighbours:
            finest = list(each_near.labels.values())[-1:] or [""]
            cells += [each_near.image, f"{each_near.score:.6f}", *finest]
        cells += [""] * (self.width - 1 - len(cells))  # an index of fewer images than neighbours asked for
        return _line([*cells, ""])


def _answer_cells(answer: LevelAnswer | None) -> list[str]:
    return [answer.name, answer.level, f"{answer.probability:.6f}"] if answer else ["none", "", ""]


def _line(cells: Sequence[str]) -> str:
    buffer = StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(cells)
    return buffer.getvalue()


def table_lines(row: Row, layout: Layout) -> Iterator[str]:
    """One image as aligned text: its classes, one line for each rank, then its neighbours."""
    image = _fitted(row.image, _IMAGE_WIDTH)
    if isinstance(row.said, Failed):
        yield f"{image}  cannot be used: {row.said.reason}\n"
        return
    for rank in range(max([1, *layout.top])):
        cells = [image if rank == 0 else " " * _IMAGE_WIDTH]
        cells += [_ranked(each, rank) for each in row.said.levels]
        if rank == 0 and layout.least is not None:
            answer = row.said.backoff(layout.least)
            cells.append(f"{readable(answer.name)} ({answer.level})" if answer else "none")
        yield "  ".join(cells).rstrip() + "\n"
    for each in row.neighbours:
        known = ", ".join(readable(name) for name in each.labels.values())
        yield f"{'':{_IMAGE_WIDTH}}  near {each.score:.3f}  {each.image}{f'  ({known})' if known else ''}\n"


def table_heading(layout: Layout) -> str:
    """The table's first line."""
    cells = [f"{'image':{_IMAGE_WIDTH}}"]
    for level, calibrated in zip(layout.levels, layout.calibrated, strict=True):
        cells.append(f"{level if calibrated else f'{level}, uncalibrated':{_NAME_WIDTH + 8}}")
    if layout.least is not None:
        cells.append(f"at {100 * layout.least:g} %")
    return "  ".join(cells).rstrip() + "\n"


def _ranked(answer: LevelAnswer, rank: int) -> str:
    if rank >= len(answer.top):
        return " " * (_NAME_WIDTH + 8)
    name, value = answer.top[rank]
    return f"{_fitted(readable(name), _NAME_WIDTH)} {100 * value:5.1f} %"


def _fitted(text: str, width: int) -> str:
    """The text at a width; of a long one its end, which tells files apart."""
    return text.ljust(width) if len(text) <= width else f"…{text[1 - width :]}"


def _rounded(value: float) -> float:
    return round(value, 6)
