"""`linnet explain`, `figure projection` and `figure sweep` on the command line, as a user would."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from linnet import files
from linnet.cli.app import app
from linnet.training.api import train
from tests.training.tiny import tiny_manifest, tiny_recipe


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "any"
    recipe = tiny_recipe(method="any-level", epochs=1, select_on="last", validation=0.0)
    train(recipe, folder, tiny_manifest(), progress=False)
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    pixels = tiny_manifest().pixels
    assert pixels is not None
    for number in range(3):
        Image.fromarray(pixels[number]).save(folder / f"{number}.png")
    return folder


def test_a_page_of_photos(run: Path, photos: Path) -> None:
    done = call("explain", run, photos / "0.png", f"{photos}/[12].png")
    assert done.exit_code == 0, done.output
    text = (run / "explain.html").read_text()
    assert text.count("<article>") == 3 and "coarse class" in text and "fine class" in text
    assert "explain.html (0." in done.output


def test_a_figure_of_a_class_by_two_runs(run: Path, photos: Path, tmp_path: Path) -> None:
    name = tiny_manifest().taxonomy.classes[1][3]
    out = tmp_path / "figure.png"
    done = call("explain", run, run, photos, "--class", name, "--out", out, "--count", 2)
    assert done.exit_code == 0, done.output
    with Image.open(out) as image:
        assert image.width > image.height / 2 and np.asarray(image).std() > 10
    done = call("explain", run, photos, "--kind", "attention", "--out", out, "--count", 1)
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["{photos}/9.png"], "no such file or folder"),
        (["{photos}", "--class", "griffon"], "no class 'griffon'"),
        (["{photos}", "--level", "genus"], "no level 'genus'"),
        (["{photos}", "--out", "page.txt"], "give a page, .html, or a figure"),
        (["{photos}", "--members", "2"], "is no ensemble"),
        (["{photos}", "{photos}/broken.png"], "1 of 4 images cannot be used"),
    ],
)
def test_mistakes_are_one_message(run: Path, photos: Path, arguments: list[str], part: str) -> None:
    (photos / "broken.png").write_bytes(b"no picture")
    if "broken" not in arguments[-1]:
        (photos / "broken.png").unlink()
    done = call("explain", run, *(each.format(photos=photos) for each in arguments))
    (photos / "broken.png").unlink(missing_ok=True)
    assert done.exit_code == 2
    assert part in done.output.replace("\n", " ")
    assert "Traceback" not in done.output


def test_without_a_run(photos: Path) -> None:
    done = call("explain", photos)
    assert done.exit_code == 2 and "no run folder" in done.output


def test_a_sweep_as_a_figure(tmp_path: Path) -> None:
    trials = [{"value": value, "folder": "", "figures": {"coarse_top1": 10.0 * value}} for value in (1, 2, 4)]
    files.write_json(tmp_path / "s/sweep.json", {"key": "parts", "trials": trials, "chosen_by": "coarse_top1"})
    done = call("figure", "sweep", tmp_path / "s", "--out", tmp_path / "sweep.svg")
    assert done.exit_code == 0, done.output
    assert "| parts | 1 | 2 | 4 |" in done.output and (tmp_path / "sweep.svg").exists()
