"""Lines of results: written whole, replaced by identity, checked on reading."""

from __future__ import annotations

import json
import os
from datetime import date
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats

from linnet.errors import RunError
from linnet.report.results import Result, append_results, half_interval, machine, read_results, versions

LINE: dict[str, Any] = {
    "paper": "001",
    "table": "1, 2",
    "row": "coins",
    "dataset": "CIFAR-100",
    "protocol": "leave-one-out",
    "scale": "cpu",
    "start": "scratch",
    "metric": "fine_recall@1",
    "values": [31.5, 32.5],
    "seeds": [0, 1],
    "floor": 0.99,
    "published": 56.62,
    "seconds": 1200.0,
    "machine": "a processor, 2 cores, 2 threads",
    "versions": {"torch": "2.15.0"},
    "command": "linnet train --recipe cifar100/cpu-coins",
    "date": "2026-01-02",
    "notes": "",
}


def result(**changes: Any) -> Result:
    return Result.model_validate(LINE | changes)


def test_mean_and_interval_follow_from_the_values() -> None:
    one = result()
    assert (one.mean, one.split, one.date) == (32.0, "test", date(2026, 1, 2))
    assert one.interval == pytest.approx((32 - 12.706 * 0.5, 32 + 12.706 * 0.5), abs=1e-3)
    assert result(values=[31.5], seeds=[4]).interval is None


@given(st.lists(st.floats(0, 100), min_size=2, max_size=16))
def test_interval_is_student_s(values: list[float]) -> None:
    expected = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    assert half_interval(values) == pytest.approx(expected, rel=1e-3, abs=1e-9)


def test_lines_come_back_as_they_went(tmp_path: Path) -> None:
    target = tmp_path / "docs" / "results.jsonl"
    assert read_results(target) == []
    ours = [
        result(),
        result(metric="coarse_top1"),
        result(metric="effective_rank", values=[140.0, 150.0], floor=None),
    ]
    assert append_results(target, ours) == 3
    assert read_results(target) == ours
    keys = json.loads(target.read_text().splitlines()[0])
    assert set(LINE) | {"mean", "interval", "split"} == set(keys)
    assert keys["date"] == "2026-01-02"


def test_a_figure_measured_again_takes_the_place_of_the_old(tmp_path: Path) -> None:
    target = tmp_path / "results.jsonl"
    append_results(target, [result(), result(metric="coarse_top1")])
    append_results(target, [result(values=[40.0], seeds=[9]), result(start="imagenet")])
    found = read_results(target)
    assert [(each.metric, each.start, each.mean) for each in found] == [
        ("fine_recall@1", "scratch", 40.0),
        ("coarse_top1", "scratch", 32.0),
        ("fine_recall@1", "imagenet", 32.0),
    ]


def write_one(target: str, number: int) -> None:
    append_results(target, [result(row=f"row {number}")])


def test_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    target = tmp_path / "results.jsonl"
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")
    workers = [get_context("fork").Process(target=write_one, args=(str(target), i)) for i in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert sorted(each.row for each in read_results(target)) == [f"row {i}" for i in range(6)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": [31.5], "seeds": [0, 1]}, "1 values of 2 seeds"),
        ({"values": [], "seeds": [], "mean": 1.0, "interval": None}, "0 values of 0 seeds"),
        ({"seeds": [3, 3]}, "a seed counts once"),
        ({"mean": 31.0}, "mean 31.0 is not the mean"),
        ({"values": [120.0, 90.0]}, "percentage, 0 to 100"),
        ({"floor": -1.0}, "percentage, 0 to 100"),
        ({"values": [float("nan"), 1.0]}, "finite number"),
        ({"row": ""}, "row is empty"),
        ({"date": "yesterday"}, "date"),
        ({"machne": "x"}, "machne"),
    ],
)
def test_what_is_no_result_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        result(**change)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 3: not JSON"),
        (json.dumps(LINE | {"values": ["much", 1]}), "line 3: "),
        (json.dumps({k: v for k, v in LINE.items() if k != "command"}), "line 3: command: Field required"),
        (json.dumps(LINE | {"floor": "low"}), "line 3: floor: .* given 'low'"),
        (json.dumps([1]), "line 3: "),
        (result().to_line(), "line 3: the same figure as line 1"),
    ],
)
def test_a_broken_line_is_named_and_nothing_is_written(tmp_path: Path, line: str, message: str) -> None:
    target = tmp_path / "results.jsonl"
    target.write_text(f"{result().to_line()}\n\n{line}\n")
    before = target.read_bytes()
    with pytest.raises(RunError, match=message):
        read_results(target)
    with pytest.raises(RunError, match=message):
        append_results(target, [result(row="fine")])
    assert target.read_bytes() == before


def test_machine_and_versions_say_what_ran_but_not_where() -> None:
    assert "threads" in machine()
    assert os.uname().nodename not in machine()
    assert {"python", "torch", "linnet"} <= set(versions())
