"""`linnet cost`, `--members`, and growing from the command line, as a user would."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from linnet import files
from linnet.cli.app import app
from linnet.cli.cost import _prefixes
from linnet.errors import RunError
from linnet.training.run import Run
from tests.training.tiny import SETTINGS

FEW = [
    f"{key}={json.dumps(value)}" for key, value in {**SETTINGS, "epochs": 1}.items() if key not in {"data", "method"}
]


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A single model that grew into an ensemble of two, and one model distilled from that."""
    folder = tmp_path_factory.mktemp("cost")
    both = folder / "both"
    done = call("train", "creatures", "method=orthogonal-ensemble", "members=1", *FEW, "--out", both)
    assert done.exit_code == 0, done.output
    done = call("train", "--resume", "members=2", "--out", both)
    assert done.exit_code == 0, done.output
    done = call("train", "creatures", "method=distil", f"teacher={both}", *FEW, "--out", folder / "folded")
    assert done.exit_code == 0, done.output
    return folder


def test_growing_says_so(folder: Path) -> None:
    recipe = files.read_json(folder / "both" / "recipe.json")
    assert recipe["options"]["members"] == 2 and recipe["note"] == "grown to members=2"


def test_first_members_alone(folder: Path) -> None:
    done = call("evaluate", folder / "both", "--members", 1)
    assert done.exit_code == 0 and "orthogonal-ensemble, its first 1," in " ".join(done.output.split())
    assert (folder / "both" / "evaluation-test-members-1.json").exists()
    done = call("evaluate", folder / "both", "--members", 3)
    assert done.exit_code == 2 and "the run has 2; give 1 to 2" in done.output


def test_cost_and_gain_in_one_table(folder: Path, tmp_path: Path) -> None:
    out, record = tmp_path / "cost.json", tmp_path / "results.jsonl"
    done = call("cost", folder / "both", folder / "folded", "--batch", 4, "--json", out, "--record", record)
    assert done.exit_code == 0, done.output
    rows = {row["row"]: row for row in json.loads(out.read_text())}
    assert list(rows) == ["single", "orthogonal-ensemble", "distil"]
    assert [row["members"] for row in rows.values()] == [1, 2, 1]
    single, both, folded = (row["parameters"][0] for row in rows.values())
    assert both == pytest.approx(2 * single) and folded == pytest.approx(single)
    assert rows["orthogonal-ensemble"]["peak_memory"] > rows["single"]["peak_memory"]
    assert rows["distil"]["peak_memory"] == pytest.approx(rows["single"]["peak_memory"], rel=0.05)
    expected = files.read_json(folder / "both" / "evaluation-test-members-1.json")["figures"]["fine_top1"]
    assert rows["single"]["values"] == [expected] and rows["single"]["metric"] == "fine_top1"
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    told = {(line["row"], line["metric"]) for line in lines}
    assert {(row, metric) for row in rows for metric in ("fine_top1", "milliseconds_per_image", "peak_memory")} <= told
    assert ("orthogonal-ensemble", "attention_overlap") in told and ("single", "attention_overlap") not in told


def test_figures_belong_to_the_weights_they_were_measured_with(folder: Path, tmp_path: Path) -> None:
    """Whatever the times of files, which a copy need not keep."""
    shutil.copytree(folder / "both", tmp_path / "copy")
    run = Run.open(tmp_path / "copy")
    measured, bundle = tmp_path / "copy" / "evaluation-test.json", tmp_path / "copy" / "bundle" / "bundle.json"
    stored = run.evaluated()
    assert stored is not None and stored == Run.open(folder / "both").evaluate("test")
    assert run.evaluated("validation") is None
    os.utime(measured, ns=(0, 0))
    assert run.evaluated() == stored
    os.utime(measured)
    files.write_json(bundle, {**files.read_json(bundle), "weights_sha256": "0" * 64})  # trained anew
    assert run.evaluated() is None


def test_figures_without_a_checksum_go_by_their_time(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "both", tmp_path / "copy")
    run, measured = Run.open(tmp_path / "copy"), tmp_path / "copy" / "evaluation-test.json"
    old = files.read_json(measured)
    del old["weights_sha256"]
    files.write_json(measured, old)
    assert run.evaluated() is not None
    os.utime(measured, ns=(0, 0))
    assert run.evaluated() is None
    files.write_json(measured, {**old, "more": 1})
    with pytest.raises(RunError, match="not the figures of a split"):
        run.evaluated()


@pytest.mark.parametrize(
    ("count", "wanted", "expected"), [(3, None, [1, 2, None]), (3, [1, 3], [1, None]), (0, [2], [None])]
)
def test_which_members_are_measured(count: int, wanted: list[int] | None, expected: list[int | None]) -> None:
    """What is no ensemble is measured whatever is asked of ensembles."""
    method = SimpleNamespace(members=lambda: [None] * count)
    run: Any = SimpleNamespace(bundle=SimpleNamespace(method=method))
    assert _prefixes(run, wanted) == expected
