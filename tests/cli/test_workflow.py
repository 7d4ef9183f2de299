"""The commands one after another on a small collection on disk, as a user would."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from linnet import files
from linnet.cli.app import app
from linnet.datasets.creatures import write_folder
from tests.training.tiny import SETTINGS, best_state

FEW = [
    f"{key}={json.dumps(value)}" for key, value in {**SETTINGS, "epochs": 1}.items() if key not in {"data", "method"}
]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos") / "creatures"
    write_folder(folder, size=16, train_per_class=4, test_per_class=2)
    return folder


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_train_evaluate_record_and_show(photos: Path, tmp_path: Path) -> None:
    runs = []
    for seed in (0, 1):
        out = tmp_path / f"run-{seed}"
        done = call("train", photos, "method=coins", *FEW, f"seed={seed}", "--out", out)
        assert done.exit_code == 0, done.output
        assert "fine_recall@1_within" in done.output
        runs.append(out)
    record = tmp_path / "results.jsonl"
    done = call("evaluate", *runs, "--record", record)
    assert done.exit_code == 0, done.output
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    by_metric = {line["metric"]: line for line in lines}
    fine = by_metric["fine_recall@1"]
    expected = [files.read_json(run / "evaluation-test.json")["figures"]["fine_recall@1"] for run in runs]
    assert fine["values"] == [round(value, 4) for value in expected]
    assert fine["seeds"] == [0, 1]
    assert 0 < fine["floor"] < 10
    moved = tmp_path / "moved"
    shutil.copytree(photos, moved)
    done = call("evaluate", runs[0], "--on", "val", "--root", moved, "--device", "cpu")
    assert done.exit_code == 0, done.output
    assert "validation images" in " ".join(done.output.split())
    shutil.rmtree(moved)
    done = call("evaluate", runs[0], "--root", tmp_path / "nowhere")
    assert done.exit_code == 2, "the root that is given counts"
    shown = call("results", record)
    assert shown.exit_code == 0
    assert "| CoIns" in shown.output or "coins" in shown.output
    document = tmp_path / "page.md"
    document.write_text(f"<!-- results:{fine['dataset']} -->\n<!-- /results:{fine['dataset']} -->\n")
    assert call("results", record, "--update", document).exit_code == 0
    assert f"{fine['mean']:.2f}" in document.read_text()


def test_what_messages_advise_works_on_the_command_line(photos: Path, tmp_path: Path) -> None:
    """A table with a column that is no level: the error names levels=..., which then trains."""
    rows = (photos / "manifest.csv").read_text().splitlines()
    table = photos / "own.csv"
    table.write_text(
        "\n".join(
            [
                f"{rows[0]};eyes".replace(",", ";"),
                *(f"{row.replace(',', ';')};{number % 2}" for number, row in enumerate(rows[1:])),
            ]
        )
    )
    done = call("train", table, "method=coarse", *FEW, "--out", tmp_path / "run")
    assert done.exit_code == 2
    assert "choose with levels=coarse" in done.output
    done = call("train", table, "method=coarse", *FEW, "levels=coarse,fine", "--out", tmp_path / "run")
    assert done.exit_code == 0, done.output
    assert call("evaluate", tmp_path / "run").exit_code == 0, "the options are kept with the run"


def test_a_broken_photo_stops_training_before_it_begins(photos: Path, tmp_path: Path) -> None:
    """Every broken file is named, with its row; nothing is trained."""
    spoiled = tmp_path / "photos"
    shutil.copytree(photos, spoiled)
    pictures = sorted(spoiled.rglob("*.png"))
    pictures[3].write_bytes(pictures[3].read_bytes()[:60])
    pictures[-1].write_bytes(b"")
    done = call("train", spoiled, "method=coarse", *FEW, "--out", tmp_path / "run")
    assert done.exit_code == 2
    for broken in (pictures[3], pictures[-1]):
        assert broken.name in done.output
    assert "line" in done.output
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_a_sweep_chooses_by_coarse_labels_and_goes_on(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "sweep"
    command = ["sweep", photos, "method=coins", *FEW, "--over", "lambda=0.01,0.1,1", "--out", out]
    command += ["--record", tmp_path / "results.jsonl"]
    done = call(*command)
    assert done.exit_code == 0, done.output
    found = files.read_json(out / "sweep.json")
    assert [trial["value"] for trial in found["trials"]] == [0.01, 0.1, 1]
    best = max(found["trials"], key=lambda trial: trial["figures"]["coarse_top1"])
    assert (found["best"], found["chosen_by"]) == (best["value"], "coarse_top1")
    assert found["largest"] >= found["best"]
    lines = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert {line["split"] for line in lines} == {"validation"}
    assert {f"coins lambda={value}" for value in (0.01, 0.1, 1)} <= {line["row"] for line in lines}
    before = (out / "lambda=0.1/bundle/weights.safetensors").stat().st_mtime_ns
    done = call(*command)
    assert done.exit_code == 0, done.output
    assert best_state(out / "lambda=0.1").stat().st_mtime_ns < before
    assert call("sweep", photos, *FEW, "--over", "lambda", "--out", out).exit_code == 2


def test_figures_that_were_never_recorded(tmp_path: Path) -> None:
    done = call("results", tmp_path / "none.jsonl")
    assert done.exit_code == 2
    assert "no results" in done.output
