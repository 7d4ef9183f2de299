"""Results are data: each figure that a document shows is a line of a JSONL file, written by what measured
it."""

from __future__ import annotations

import fcntl
import json
import math
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date as Date
from pathlib import Path
from statistics import fmean
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from linnet import files
from linnet.errors import RunError

__all__ = [
    "IDENTITY",
    "Result",
    "append_results",
    "half_interval",
    "machine",
    "read_results",
    "told_command",
    "versions",
]

IDENTITY = ("paper", "table", "row", "dataset", "protocol", "scale", "start", "split", "metric")
"""The fields that say which figure a line is: a new line of the same identity takes the old one's place."""

_REMEDY = "results are written by commands, not by hand: restore the line, or delete it and measure again"
_PERCENT = re.compile(r"(^|_)(top\d+|recall@\d+|accuracy|consistency|reidentification)")
# Two-sided 95 % quantiles of Student's t for 1, 2, ... degrees of freedom; the last one also for more.
_T = (
    12.706,
    4.303,
    3.182,
    2.776,
    2.571,
    2.447,
    2.365,
    2.306,
    2.262,
    2.228,
    2.201,
    2.179,
    2.160,
    2.145,
    2.131,
)


class Result(BaseModel):
    """One figure: a metric of one row of one table, over one or more seeds. Percentages are 0 to 100.

    `row` is method and variant, `scale` "full" or "cpu", `start` the start weights or "scratch", `split`
    where it was measured, `values` one figure a seed, `interval` the 95 % t-interval of the mean (None with
    one seed), `floor` what chance scores, `published` the paper's figure, `seconds` the time of one training,
    `notes` what flags the figure.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    paper: str
    table: str
    row: str
    dataset: str
    protocol: str
    scale: str
    start: str
    split: str = "test"
    metric: str
    mean: float
    values: tuple[float, ...]
    seeds: tuple[int, ...]
    interval: tuple[float, float] | None
    floor: float | None
    published: float | None
    seconds: float | None
    machine: str
    versions: dict[str, str]
    command: str
    date: Date
    notes: str

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, given: Any) -> Any:
        """Mean and interval follow from the values where they are not given."""
        if not isinstance(given, dict) or not given.get("values"):
            return given
        values = [float(value) for value in given["values"]]
        mean, half = fmean(values), half_interval(values)
        interval = None if half is None else (round(mean - half, 4), round(mean + half, 4))
        return {"mean": round(mean, 4), "interval": interval} | given

    @model_validator(mode="after")
    def _agree(self) -> Self:
        for name in ("paper", "row", "dataset", "scale", "start", "split", "metric", "command"):
            if not getattr(self, name):
                raise ValueError(f"{name} is empty")
        if not self.values or len(self.values) != len(self.seeds):
            raise ValueError(f"{len(self.values)} values of {len(self.seeds)} seeds; need one value a seed")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds {list(self.seeds)}: a seed counts once")
        if abs(self.mean - fmean(self.values)) > 1e-3:
            raise ValueError(f"mean {self.mean} is not the mean of the values, {fmean(self.values):.4f}")
        shown = (self.mean, *self.values, self.floor, self.published)
        outside = any(not 0 <= value <= 100 for value in shown if value is not None)
        if outside and _PERCENT.search(self.metric) and not self.metric.startswith("rho("):
            raise ValueError(f"{self.metric} is a percentage, 0 to 100; given {shown}")
        return self

    @property
    def identity(self) -> tuple[str, ...]:
        """The values of `IDENTITY`."""
        return tuple(getattr(self, name) for name in IDENTITY)

    def to_line(self) -> str:
        """The result as one line of JSON, without the line end."""
        return json.dumps(self.model_dump(mode="json"), ensure_ascii=False, allow_nan=False)


def half_interval(values: Sequence[float]) -> float | None:
    """Half the width of the 95 % t-interval of the mean, t s / sqrt(n); None with one value."""
    if len(values) < 2:
        return None
    mean = fmean(values)
    variance = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return _T[min(len(values) - 2, len(_T) - 1)] * math.sqrt(variance / len(values))


def read_results(source: Path | str) -> list[Result]:
    """All results of a JSONL file, in its order; none when there is no such file.

    Raises:
        RunError: a line is not JSON, not a result, or repeats the identity of another; names the line.
    """
    source = Path(source)
    if not source.exists():
        return []
    results: list[Result] = []
    lines: dict[tuple[str, ...], int] = {}
    for number, text in enumerate(source.read_text(encoding="utf-8").splitlines(), start=1):
        where = f"{source}, line {number}"
        if not text.strip():
            continue
        try:
            result = Result.model_validate(json.loads(text))
        except json.JSONDecodeError as error:
            raise RunError(f"{where}: not JSON ({error}); {_REMEDY}") from None
        except ValidationError as error:
            raise RunError(f"{where}: {_first(error)}; {_REMEDY}") from None
        if result.identity in lines:
            earlier = lines[result.identity]
            raise RunError(f"{where}: the same figure as line {earlier}; delete the older of the two")
        lines[result.identity] = number
        results.append(result)
    return results


def _first(error: ValidationError) -> str:
    """Which field is wrong, how, and what it holds."""
    found = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in found["loc"])
    given = "" if found["type"] == "missing" or not field else f", given {found['input']!r}"
    return f"{field + ': ' if field else ''}{found['msg'].removeprefix('Value error, ')}{given}"


def append_results(target: Path | str, results: Sequence[Result]) -> int:
    """Write results to a JSONL file, whole or not at all; returns how many lines the file then has.

    A line with the identity of a new result is replaced where it stands; the others follow at the end.
    Processes that write at the same time wait for each other.

    Raises:
        RunError: the file holds a line that is no result (it is left as it is).
    """
    target = Path(target)
    with _alone(files.make_folder(target.parent)):
        lines = {result.identity: result for result in read_results(target)}
        lines |= {result.identity: result for result in results}
        files.write_text(target, "".join(result.to_line() + "\n" for result in lines.values()))
    return len(lines)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder; it falls with the process."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def machine(device: str = "cpu") -> str:
    """This machine in words: the GPU if `device` is one, processor, cores, torch's threads; no host name."""
    import torch

    from linnet.training.environment import environment

    return str(environment(torch.device(device))["machine"])


def versions() -> dict[str, str]:
    """Versions of Python, linnet and the packages that figures depend on."""
    import torch

    from linnet.training.environment import environment

    return dict(environment(torch.device("cpu"))["versions"])


def told_command(text: str) -> str:
    """The command, or several, without what differs from machine to machine: the folders of its program and data."""
    told = []
    for each in text.split(" && "):
        program, *rest = shlex.split(each) or ["linnet"]
        name = Path(program).name
        while "--root" in rest:
            del rest[rest.index("--root") : rest.index("--root") + 2]
        rest = [word for word in rest if not word.startswith("--root=")]
        told.append(shlex.join(["linnet" if name == "__main__.py" else name, *rest]))
    return " && ".join(told)
