"""Markdown tables made from results, and their place in a document."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from linnet import files
from linnet.errors import RunError
from linnet.metrics.units import unit
from linnet.report.curves import curve_table, gather_curves
from linnet.report.labels import ROWS, cell, has_own_floor, heading, in_order, metrics_of, row_name
from linnet.report.results import Result

__all__ = ["render", "stale_tables", "update_document"]

_VALIDATION = re.compile(r"(.+) \(validation\)")
_CURVE = re.compile(r"(.+) \(curve of ([\w@]+)(?:, (.+))?\)")
_VALIDATION_METRICS = (
    *("coarse_top1", "coarse_recall@1", "effective_rank", "reidentification"),
    *("fine_recall@1", "fine_recall@1_within"),
)

Published = Mapping[str, Mapping[str, float]]


def render(
    results: Sequence[Result],
    *,
    dataset: str | None = None,
    protocol: str | None = None,
    scale: str | None = None,
    split: str = "test",
    rows: Sequence[str] = ROWS,
    metrics: Sequence[str] | None = None,
    published: Published | None = None,
) -> str:
    """Markdown tables of the results, one for each data set, scale and start: these never share a column.

    Where protocols tell the same cell (other nets, say), each has a table of its own. Rows are methods, after a row for
    chance; a cell is the mean, and with two seeds or more half the 95 % t-interval. Where a method's floor depends on
    how well it names coarse classes, it stands in the cell. The paper's figures stand in columns of their own, which
    say so when the scale is another than the paper's.

    Args:
        results: as `read_results` gives them.
        dataset: only this data set.
        protocol: only this protocol.
        scale: only this scale.
        split: only figures measured on this split.
        rows: the order of the rows; rows not named follow, in the order of `results`.
        metrics: the columns, in order; by default those that suit the paper.
        published: the paper's figures by row and metric, for rows whose results carry none.

    Raises:
        RunError: no result is left (lists what there is), or two for one cell of one protocol (says how they differ).
    """
    wanted = {"dataset": dataset, "protocol": protocol, "scale": scale, "split": split}
    kept = [
        result
        for result in results
        if result.metric in (metrics or metrics_of(result.paper))
        and all(value is None or getattr(result, name) == value for name, value in wanted.items())
    ]
    if not kept:
        asked = ", ".join(f"{name} {value!r}" for name, value in wanted.items() if value is not None)
        have = sorted({f"dataset {each.dataset!r}, split {each.split!r}" for each in results})
        raise RunError(f"no result for {asked}; there are results for: {'; '.join(have)}")
    groups: dict[tuple[str, str, str], list[Result]] = {}
    for result in kept:
        groups.setdefault((result.dataset, result.scale, result.start), []).append(result)
    tables = []
    for group in groups.values():
        columns = metrics or tuple(dict.fromkeys(metric for each in group for metric in metrics_of(each.paper)))
        parts = _by_protocol(group)
        tables += [_table(part, rows, columns, published or {}, alone=len(parts) == 1) for part in parts]
    return "\n\n".join(tables)


def _by_protocol(group: list[Result]) -> list[list[Result]]:
    """The group as it is, or a part for each protocol where two of them tell the same cell."""
    parts: dict[str, list[Result]] = {}
    for each in group:
        parts.setdefault(each.protocol, []).append(each)
    told = {(each.row, each.metric, each.protocol) for each in group}
    clash = len({(row, metric) for row, metric, _ in told}) < len(told)
    return list(parts.values()) if clash else [group]


def _table(
    group: Sequence[Result], rows: Sequence[str], metrics: Sequence[str], published: Published, *, alone: bool
) -> str:
    cells: dict[tuple[str, str], Result] = {}
    for each in group:
        other = cells.setdefault((each.row, each.metric), each)
        if other is not each:
            raise RunError(
                f"two figures for {each.metric} of {each.row!r} on {each.dataset}: papers {other.paper} and "
                f"{each.paper}, tables {other.table!r} and {each.table!r}; choose one"
            )
    order = in_order((each.row for each in group), rows)
    columns = [metric for metric in metrics if any((row, metric) in cells for row in order)]
    theirs = {
        (row, metric): figure
        for row in order
        for metric in columns
        if (figure := _published(cells.get((row, metric)), published.get(row, {}).get(metric))) is not None
    }
    compared = [metric for metric in columns if any((row, metric) in theirs for row in order)]
    timed = ["training"] if any(each.seconds is not None for each in group) else []
    paper = "paper" if group[0].scale == "full" else "*paper, full size*"
    head = [
        "method",
        *map(heading, columns),
        *timed,
        *(f"{paper}: {heading(each)}" for each in compared),
    ]
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    own = {metric for metric in columns if has_own_floor(metric) and len(_floors(group, metric)) > 1}
    floors = ["" if metric in own else " / ".join(_floors(group, metric)) for metric in columns]
    lines.append(["chance", *floors, *[""] * len(timed), *[""] * len(compared)])
    for row in order:
        ours = [cell(cells.get((row, metric)), floor=metric in own) for metric in columns]
        seconds = next((each.seconds for each in group if each.row == row), None)
        beside = [f"{theirs[row, each]:.2f}" if (row, each) in theirs else "" for each in compared]
        lines.append([row_name(row), *ours, *([_duration(seconds)] if timed else []), *beside])
    body = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return "\n\n".join([_caption(group, columns, alone=alone), body, *_remarks(group, order)])


def _published(result: Result | None, otherwise: float | None) -> float | None:
    return otherwise if result is None or result.published is None else result.published


def _floors(group: Sequence[Result], metric: str) -> list[str]:
    """What chance scores for a metric, once for each different figure."""
    return sorted({f"{each.floor:.2f}" for each in group if each.metric == metric and each.floor is not None})


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _caption(group: Sequence[Result], columns: Sequence[str], *, alone: bool) -> str:
    first = group[0]
    of_paper = {"full": "full size", "cpu": "scale `cpu`, smaller than the paper's"}
    known = of_paper if first.paper != "discover" else {}
    scale = known.get(first.scale, f"scale `{first.scale}`")
    most = max(len(each.seeds) for each in group)
    spread = "; ± is half the 95 % t-interval of the mean over seeds" if most > 1 else ""
    protocol = "" if alone else f", {first.protocol}"
    percent = "Percent" if all(unit(metric) == "%" for metric in columns) else "Percent where no other unit is named"
    return f"**{first.dataset}**{protocol}, {scale}, start: {first.start}. {percent}{spread}."


def _remarks(group: Sequence[Result], order: Sequence[str]) -> list[str]:
    """What flags the rows, then where and when they were measured."""
    said = {row: dict.fromkeys(each.notes for each in group if each.row == row and each.notes) for row in order}
    shared = [note for note in next(iter(said.values())) if all(note in notes for notes in said.values())]
    flags = []
    for row, notes in said.items():
        own = "; ".join(note for note in notes if note not in shared)
        flags += [f"- {row_name(row)}: {own}."] if own else []
    machines = "; ".join(dict.fromkeys(each.machine for each in group))
    torch = ", ".join(sorted({each.versions.get("torch", "?") for each in group}))
    date = max(each.date for each in group).isoformat()
    measured = "; ".join([f"Measured on {machines}", f"torch {torch}", date, *shared]) + "."
    return [*(["\n".join(flags)] if flags else []), measured]


def update_document(document: Path | str, results: Sequence[Result]) -> bool:
    """Renew every table of a document: between markers named for a data set stands what `render` says of it.

    "DATASET" shows figures of the test split, "DATASET (validation)" those that a choice was made by, and
    "DATASET (curve of METRIC)" or "DATASET (curve of METRIC, PROTOCOL)" a metric over the share of fine labels, of the
    protocols that hold a text (see `report.curves`).

    Returns whether that changed the document, which is then written once, whole.

    Raises:
        RunError: as `render`, or the document is missing, has no markers, or has one without the other.
    """
    old, new = _renewed(Path(document), results)
    if old != new:
        files.write_text(document, new)
    return old != new


def stale_tables(document: Path | str, results: Sequence[Result]) -> bool:
    """Whether `update_document` would change the document: what a test asks. Errors as there."""
    old, new = _renewed(Path(document), results)
    return old != new


def _renewed(document: Path, results: Sequence[Result]) -> tuple[str, str]:
    if not document.is_file():
        raise RunError(f"{document}: no such file")
    old = new = document.read_text(encoding="utf-8")
    names = re.findall(r"<!-- results:(.+?) -->", old)
    if not names:
        raise RunError(
            f"{document}: no place for a table; put a line <!-- results:DATASET --> and after it a line "
            "<!-- /results:DATASET -->, DATASET being the data set's name in the results"
        )
    for name in names:
        validation, curve = _VALIDATION.fullmatch(name), _CURVE.fullmatch(name)
        if curve:
            table = curve_table(gather_curves(results, curve[1], curve[2], protocol=curve[3]))
        elif validation:
            table = render(results, dataset=validation[1], split="validation", metrics=_VALIDATION_METRICS)
        else:
            table = render(results, dataset=name)
        new = _placed(document, new, name, table)
    return old, new


def _placed(document: Path, old: str, name: str, text: str) -> str:
    """The document's content `old` with `text` between the markers of `name`."""
    start, stop = f"<!-- results:{name} -->", f"<!-- /results:{name} -->"
    if old.count(start) != 1 or old.count(stop) != 1 or old.index(start) > old.index(stop):
        raise RunError(f"{document}: need one line {start} and after it one line {stop}, for the table")
    before, after = old[: old.index(start) + len(start)], old[old.index(stop) :]
    return f"{before}\n\n{text.strip()}\n\n{after}"
