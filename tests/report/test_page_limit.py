"""A page stays below its limit whatever is put on it: it leaves out, then shrinks pictures, else is not written."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from linnet import files
from linnet.discover import Settings, discover, save_discovery
from linnet.discover.embed import read_data, run_subjects
from linnet.errors import RunError
from linnet.explain.projection import project
from linnet.randomness import generator
from linnet.report.page import MOST_BYTES
from linnet.report.report_page import report_page
from linnet.training.api import train
from linnet.training.run import Run
from tests.report.reader import assert_whole, read_page
from tests.training.tiny import tiny_recipe

COARSE, FINE, TEST = 24, 5, 2
LONG = "_".join(["a name that somebody has made from everything that is known of the class"] * 8)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise, which no format makes small, in many classes with very long names."""
    folder = tmp_path_factory.mktemp("noise")
    draw = generator(0, "noise")
    lines = ["image,split,group,kind"]
    for number in range(COARSE * FINE * (TEST + 2)):
        fine = number % (COARSE * FINE)
        split = "test" if number >= COARSE * FINE * 2 else "train"
        Image.fromarray(draw.integers(0, 256, (180, 180, 3), dtype=np.uint8)).save(folder / f"{number}.bmp")
        lines.append(f"{number}.bmp,{split},{fine % COARSE:03d}_{LONG},{fine:03d}_{LONG}")
    files.write_text(folder / "noise.csv", "\n".join(lines))
    return folder / "noise.csv"


def runs_of(table: Path, folder: Path) -> Iterator[Run]:
    """As many runs as a page takes, of two collections, by what is coarse and fine; all differ in a setting."""
    levels: list[dict[str, Any]] = [{}, {"fine": "group"}]
    for number, chosen in enumerate(levels):
        first = folder / f"run-{number}-0"
        recipe = tiny_recipe(data=str(table), epochs=1, validation=0.0, select_on="last", **chosen)
        train(recipe, first, progress=False).evaluate()
        for other in range(12):
            again = folder / f"run-{number}-{other}"
            if other:
                shutil.copytree(first, again)
            settings = files.read_json(again / "recipe.json")
            metrics = "".join(
                f'{{"epoch": {epoch}, "stage": "train", "lr": {1 / epoch}, "loss/coarse": {2 / epoch + other}}}\n'
                for epoch in range(1, 2001)
            )
            files.write_text(again / "metrics.jsonl", metrics)
            files.write_json(again / "recipe.json", settings | {"lr": 0.01 * (1 + other), "note": "To be read. " * 20})
            yield Run.open(again)


def test_the_most_that_a_page_takes(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linnet.report.plane.project", lambda rows, kind: project(rows, "pca"))  # where dots lie is all
    runs = list(runs_of(table, tmp_path))
    assert len(runs) == 24
    subjects = run_subjects(runs[0], read_data(runs[0], None, None, {}, None), "test", progress=False)
    found = discover(subjects, Settings(clusters=4, repeats=2))
    save_discovery(found, tmp_path / "found")
    folders = [tmp_path / "found"] * 4
    size = report_page(runs, tmp_path / "page.html", discoveries=folders)
    assert (tmp_path / "page.html").stat().st_size == size <= MOST_BYTES < 10_000_000
    page = read_page(tmp_path / "page.html")
    assert_whole(page)
    shown = [int(str(each["width"])) for each in page.of("img") if each.get("width") != "256"]
    assert len(shown) > 1000, "this is no small page"
    assert min(shown) >= 28, "pictures can still be told apart"
    assert LONG not in page.text and page.text.count("<section") == 2
    before = (tmp_path / "page.html").read_bytes()
    with pytest.raises(RunError, match=r"page.html: .* MB with the smallest pictures"):
        report_page(runs[:1], tmp_path / "page.html", most=50_000)
    assert (tmp_path / "page.html").read_bytes() == before
