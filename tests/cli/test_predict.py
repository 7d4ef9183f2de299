"""`linnet predict` on the command line: CSV, JSON lines, table; broken images; backing off; embeddings; mistakes."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from linnet import files
from linnet.cli.app import app
from linnet.datasets.creatures import write_folder
from linnet.predict.calibration import FILE
from linnet.training.api import train
from tests.training.tiny import tiny_manifest, tiny_recipe


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["predict", *(str(argument) for argument in arguments)])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "any"
    train(tiny_recipe(method="any-level", epochs=1), folder, tiny_manifest(), progress=False)
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    pixels = tiny_manifest().pixels
    assert pixels is not None
    for number in range(5):
        files.make_folder(folder / str(number % 2))
        Image.fromarray(pixels[number]).save(folder / str(number % 2) / f"{number}.png")
    (folder / "0/broken.jpg").write_bytes(b"no picture")
    (folder / "1/raw.nef").write_bytes(b"raw")
    (folder / "notes.txt").write_text("no image")
    return folder


TORCH = ("--engine", "torch")
ORDER = ["0/0.png", "0/2.png", "0/4.png", "0/broken.jpg", "1/1.png", "1/3.png", "1/raw.nef"]


def test_csv_of_a_folder_keeps_order_and_names_broken_images(run: Path, photos: Path, tmp_path: Path) -> None:
    out, vectors = tmp_path / "found/o.csv", tmp_path / "e.npy"
    done = call(run, photos, "--out", out, "--embeddings", vectors, "--top", 9, "--no-calibrate", *TORCH, "--batch", 2)
    assert done.exit_code == 1, done.output
    assert "2 of 7 images cannot be used" in done.output and "uncalibrated: coarse, fine" in done.output
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert [row["image"] for row in rows] == [str(photos / name) for name in ORDER]
    assert [bool(row["error"]) for row in rows] == [name.endswith(("jpg", "nef")) for name in ORDER]
    assert rows[0]["coarse_calibration"] == "uncalibrated"
    assert "coarse_6" in rows[0] and "coarse_7" not in rows[0], "there are six coarse classes"
    listed = [float(rows[0][f"fine_{rank}_probability"]) for rank in range(2, 10)]
    assert listed == sorted(listed, reverse=True) and float(rows[0]["fine_probability"]) >= listed[0]
    embeddings = np.load(vectors)
    assert embeddings.shape[0] == 7 and embeddings.dtype == np.float32
    np.testing.assert_array_equal(np.isnan(embeddings).all(1), [bool(row["error"]) for row in rows])
    assert np.isfinite(embeddings[0]).all()


def test_json_lines_with_backing_off(run: Path, photos: Path, tmp_path: Path) -> None:
    summary = tmp_path / "s.json"
    given = [photos / "0/0.png", f"{photos}/1/*.png", photos / "gone.png"]
    done = call(run, *given, "--format", "jsonl", "--backoff", 0.01, "--summary", summary, "--no-calibrate", *TORCH)
    assert done.exit_code == 1
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [Path(line["image"]).name for line in lines] == ["0.png", "1.png", "3.png", "gone.png"]
    assert lines[3]["error"] == "no such file" and "levels" not in lines[3]
    for line in lines[:3]:
        assert line["error"] is None and line["answer"]["level"] == "fine"
        coarse, fine = line["levels"]
        assert fine["probability"] <= coarse["top"][0][1] and line["answer"]["class"] == fine["class"]
    told = files.read_json(summary)
    assert (told["images"], told["broken"], told["backoff"]) == (4, 1, 0.01)


def test_a_table_on_the_terminal(run: Path, photos: Path) -> None:
    done = call(run, photos / "0/0.png", photos / "1", "--backoff", 1, "--top", 2, "--no-calibrate", *TORCH)
    lines = done.stdout.splitlines()
    assert lines[0].split() == [*["image", "coarse,", "uncalibrated", "fine,", "uncalibrated", "at", "100", "%"]]
    assert lines[1].endswith("none") and "%" in lines[2] and "cannot be used" in lines[-1]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--out", "o.txt"], "end it in .csv or .jsonl"),
        (["--out", "o.csv", "--format", "jsonl"], "the file's suffix says csv"),
        (["--embeddings", "e.csv"], "end it in .npy"),
        (["--engine", "abacus"], "choose one of auto"),
        (["{photos}/*.gif", "{empty}"], "2 of 3 arguments name no image"),
    ],
)
def test_mistakes_are_one_message(run: Path, photos: Path, tmp_path: Path, arguments: list[str], part: str) -> None:
    empty = files.make_folder(tmp_path / "empty")
    done = call(run, photos, *(each.format(photos=photos, empty=empty) for each in arguments))
    assert done.exit_code == 2, done.output
    assert part in " ".join(done.output.split()) and "Traceback" not in done.output
    assert not (tmp_path / "o.csv").exists()


def test_it_calibrates_once(tmp_path: Path) -> None:
    """The first call fits the temperatures, the second finds them; data that has changed is an error if asked for."""
    table = write_folder(tmp_path / "photos", size=16, train_per_class=8, test_per_class=1)
    run = train(tiny_recipe(method="fine", epochs=1, data=str(table)), tmp_path / "run", progress=False).folder
    picture = next((tmp_path / "photos").rglob("*.png"))
    done = call(run, picture, "--backoff", 0.5, *TORCH)
    assert done.exit_code == 0, done.output
    assert "calibrated: fine, temperature" in done.output and "Backing off, on 36" in done.output
    content = files.read_json(run / FILE)
    assert content["split"] == "validation" and len(content["validation"]["right"][0]) == 36
    changed = (run / FILE).stat().st_mtime_ns
    again = call(run, picture, *TORCH)
    assert "calibrating" not in again.output and (run / FILE).stat().st_mtime_ns == changed
    _neighbours(run, picture, tmp_path)
    raw = call(run, picture, "--no-calibrate", *TORCH)
    assert "uncalibrated: coarse, fine" in raw.output
    rows = table.read_text().splitlines()
    table.write_text("\n".join(rows[:-1]))
    refused = call(run, picture, "--calibrate", *TORCH)
    assert refused.exit_code == 2 and "is not what" in refused.output
    files.remove(run / FILE)
    assert "has changed since" in call(run, picture, *TORCH).output, "it goes on uncalibrated, and says why"


def _neighbours(run: Path, picture: Path, tmp_path: Path) -> None:
    """An image of the index is its own nearest; vectors of another bundle are refused."""
    made = CliRunner().invoke(app, ["index", str(run), "--out", str(tmp_path / "index"), *TORCH])
    assert made.exit_code == 0, made.output
    done = call(run, picture, "--index", tmp_path / "index", "-k", 2, "--format", "jsonl", *TORCH)
    assert done.exit_code == 0, done.output
    near = json.loads(done.stdout)["neighbours"]
    assert len(near) == 2 and near[0]["score"] > 0.999 and str(picture).endswith(near[0]["image"])
    assert near[0]["fine"] == picture.parent.name
    done = call(run, picture, "--index", tmp_path / "index", "-k", 2, "--out", tmp_path / "near.csv", *TORCH)
    (row,) = csv.DictReader((tmp_path / "near.csv").read_text().splitlines())
    assert row["neighbour_1_class"] == picture.parent.name and row["error"] == ""
    other = train(tiny_recipe(method="coarse", epochs=1), tmp_path / "other", tiny_manifest(), progress=False).folder
    done = call(other, picture, "--index", tmp_path / "index", *TORCH)
    assert done.exit_code == 2 and "another bundle" in done.output


def test_a_method_that_names_no_class(tmp_path: Path) -> None:
    run = train(tiny_recipe(method="instance", epochs=1), tmp_path / "run", tiny_manifest(), progress=False).folder
    Image.new("RGB", (60, 50)).save(tmp_path / "a.png")
    done = call(run, tmp_path / "a.png", *TORCH)
    assert done.exit_code == 2 and "names no classes" in done.output
    done = call(run, tmp_path / "a.png", "--embeddings", tmp_path / "e.npy", *TORCH)
    assert done.exit_code == 0, done.output
    assert np.load(tmp_path / "e.npy").shape[0] == 1
