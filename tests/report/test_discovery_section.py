"""Discoveries in the report: those of its own runs, with figures as `score` has them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from linnet.cli.app import app
from linnet.discover import Discovery, Settings, discover, rename, save_discovery, score
from linnet.discover.embed import pixel_subjects, read_data, run_subjects
from linnet.errors import RunError
from linnet.report.discovery_section import assign, discovered
from linnet.report.report_page import report_page
from linnet.report.series import Measured
from linnet.training.api import train
from linnet.training.run import Run
from tests.report.reader import assert_whole, read_page
from tests.training.tiny import tiny_manifest, tiny_recipe


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    recipe = tiny_recipe(method="coins", options={"lambda": 0.1})
    return train(recipe, tmp_path_factory.mktemp("run") / "foxes", tiny_manifest(), progress=False)


@pytest.fixture(scope="module")
def found(run: Run) -> Discovery:
    subjects = run_subjects(run, read_data(run, None, None, {}, None), progress=False)
    return rename(discover(subjects, Settings(clusters="true", repeats=2)), "fox", 1, "<i>red</i>")


def measured(run: Run) -> Measured:
    return Measured(run, "foxes", run.load(), run.evaluate())


def test_figures_are_those_of_score(run: Run, found: Discovery) -> None:
    shown, (whole, parts) = discovered(Path("found"), found, measured(run)), score(found)
    assert [each.value for each in shown.overall] == [
        whole.figures[f"cluster_{each}"] for each in ("accuracy", "nmi_within", "ari_within", "nmi", "ari")
    ]
    assert shown.overall[0].chance == whole.chance["cluster_accuracy"]
    assert shown.overall[0].single == whole.majority["cluster_accuracy"]
    assert (shown.images, shown.classes, shown.clusters, shown.named) == (288, 6, 24, 1)
    assert dict(shown.splits) == {"test": 96, "train": 192}
    assert [row.rank for row in shown.rows] == sorted((row.rank for row in shown.rows), reverse=True)
    for row in shown.rows:
        scores = next(each for each in parts if each.name == found.coarse_names[row.number])
        assert row.accuracy is not None and row.accuracy.value == scores.figures["cluster_accuracy"]
        assert row.known == 4 and row.names == (("<i>red</i>",) if row.name == "fox" else ())
    assert [strip.row for strip in shown.strips] == [*shown.rows[:2], *shown.rows[-2:]]
    assert "taken from the known fine labels" in shown.marks[0]
    assert "192 of 288 images are of splits that the run was trained or chosen on" in shown.marks[1]


def test_how_a_number_was_chosen(run: Run, found: Discovery) -> None:
    tried = [
        {"number": 2, "stability": 0.8, "reference": 0.3, "clear": True},
        {"number": 4, "stability": 0.9, "reference": 0.2, "clear": True},
    ]
    found.card["tried"] = {"fox": tried, "fish": [each | {"clear": False} for each in tried]}
    try:
        rows = {row.name: row.chosen for row in discovered(Path("found"), found, measured(run)).rows}
    finally:
        found.card["tried"] = {}
    assert rows["fox"] == "0.90 / 0.20"
    changed = "no number stood clear; best 4: 0.90 / 0.20; 1 at first, changed by hand since"
    assert rows["fish"] == changed and rows["bird"] == ""


def test_without_fine_labels_stability_ranks(run: Run, found: Discovery, tmp_path: Path) -> None:
    blind = replace(found, fine=np.full(len(found), -1))
    shown = discovered(Path("found"), blind, measured(run))
    assert shown.overall == () and shown.labelled == 0 and all(row.accuracy is None for row in shown.rows)
    assert [row.stability for row in shown.rows] == sorted((row.stability or 0 for row in shown.rows), reverse=True)
    assert all(known == "" for strip in shown.strips for _, known in strip.sheets)
    save_discovery(blind, tmp_path / "found")
    report_page([run], tmp_path / "page.html", discoveries=[tmp_path / "found"])
    page = read_page(tmp_path / "page.html")
    assert_whole(page)
    assert "nothing says how right the clusters are" in page.text and "the most stable first" in page.text


def test_on_a_page(run: Run, found: Discovery, tmp_path: Path) -> None:
    save_discovery(found, tmp_path / "found")
    report_page([run], tmp_path / "page.html", discoveries=[tmp_path / "found"])
    page = read_page(tmp_path / "page.html")
    assert_whole(page)
    assert "24 clusters" in page.text and "1 of 4: &lt;i&gt;red&lt;/i&gt;" in page.text
    assert page.text.count('<div class="strips">') == 4 and "farthest above its floors" in page.text
    assert ("#c1-discovery" in {each.get("href") for each in page.of("a")}) is True
    report_page([run], tmp_path / "page.html")
    assert "c1-discovery" not in (tmp_path / "page.html").read_text()


def test_a_discovery_of_none_of_the_runs_is_refused(run: Run, found: Discovery, tmp_path: Path) -> None:
    subjects = pixel_subjects(read_data(run, None, None, {}, None), side=8, progress=False)
    save_discovery(discover(subjects, Settings(clusters=2, repeats=2)), tmp_path / "pixels")
    with pytest.raises(RunError, match=r"pixels: a discovery by pixels, which no run gave; the runs here are .*foxes"):
        assign([tmp_path / "pixels"], [run])
    other = train(tiny_recipe(epochs=1), tmp_path / "other", tiny_manifest(), progress=False)
    save_discovery(found, tmp_path / "found")
    with pytest.raises(
        RunError, match=r"found: a discovery by .*foxes with the bundle .{12}; the runs here are .*other"
    ):
        assign([tmp_path / "found"], [other])
    assert [each[2] for each in assign([tmp_path / "found"], [other, run])] == [run]
    with pytest.raises(RunError, match="5 discoveries; a page takes 4"):
        assign([tmp_path / "found"] * 5, [run])
    done = CliRunner().invoke(app, ["report", str(run.folder), "--discovery", str(tmp_path / "pixels")])
    assert done.exit_code == 2 and "no run gave" in " ".join(done.output.split())
