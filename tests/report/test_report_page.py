"""The report: whole by itself, honest in its figures, for every kind of run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from linnet import files
from linnet.cli.app import app
from linnet.datasets import load_data
from linnet.errors import RunError
from linnet.randomness import generator
from linnet.report.chart import Curve, chart
from linnet.report.comparison import judge
from linnet.report.page import Album, write_page
from linnet.report.report_page import report_page
from linnet.training.api import train
from linnet.training.run import Run
from tests.report.reader import assert_whole, read_page
from tests.training.tiny import tiny_manifest, tiny_recipe

CHROMIUM = Path("/usr/bin/chromium")
KINDS: dict[str, dict[str, Any]] = {
    "coins": {"method": "coins", "options": {"lambda": 0.1}},
    "instance": {"method": "instance"},
    "fine": {"method": "fine"},
    "single": {"method": "coarse", "fine": "coarse"},
    "last": {"method": "coarse", "select_on": "last", "validation": 0.0},
    "ensemble": {"method": "orthogonal-ensemble", "options": {"members": 2}, "epochs": 1},
    "bigspn": {
        "method": "bigspn",
        "optimizer": "adamw",
        "lr": 0.003,
        "options": {"dim": 16, "hidden": 16, "reduced": 8},
    },
}


def made(folder: Path, **settings: Any) -> Run:
    return train(tiny_recipe(**settings), folder, tiny_manifest(), progress=False)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    root = tmp_path_factory.mktemp("runs")
    return {name: made(root / name, **settings) for name, settings in KINDS.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_run_gives_a_whole_page(runs: dict[str, Run], kind: str, tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    size = report_page([runs[kind]], target)
    text = target.read_text()
    assert size == len(text.encode()) < 2_000_000
    assert_whole(read_page(target))
    written = files.read_json(runs[kind].folder / "evaluation-test.json")
    for metric, value in written["figures"].items():
        assert f"{value:.2f}" in text, metric
    assert ("No fine label was used" in text) == (kind in ("coins", "bigspn", "last", "instance"))


def test_seeds_share_a_column_and_other_data_gets_its_own_sections(runs: dict[str, Run], tmp_path: Path) -> None:
    again = made(tmp_path / "coins-1", **KINDS["coins"], seed=1)
    report_page([runs["coins"], again, runs["single"]], tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    one, two = (each.evaluate().figures["fine_recall@1"] for each in (runs["coins"], again))
    half = 12.706 * abs(one - two) / 2
    assert f"{(one + two) / 2:.2f} ± {half:.2f}" in text and f"{one:.2f}, {two:.2f}" in text
    assert text.count("<section") == 2, "runs of one level are no column beside runs of two"
    with pytest.raises(RunError, match="named twice"):
        report_page([again, again], tmp_path / "page.html")


def test_names_are_escaped_and_the_page_shrinks(runs: dict[str, Run], tmp_path: Path) -> None:
    evil = Run(runs["coins"].folder, runs["coins"].recipe.change(dataset="<b>birds</b>"), runs["coins"].data)
    whole = report_page([evil], tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "<b>birds" not in text and "&lt;b&gt;birds" in text
    most = whole - 20_000
    assert report_page([evil], tmp_path / "less.html", most=most) <= most


def test_pictures_shrink_to_the_limit(tmp_path: Path) -> None:
    noise = generator(0, "noise").integers(0, 256, (4, 224, 224, 3), dtype=np.uint8)
    assert len(Album(1.0).address(noise[0], 224)) > 4 * len(Album(0.3).address(noise[0], 224))
    content = {"title": "x", "about": [], "names": [], "truths": [], "views": []}
    assert write_page("explain.html.j2", content, tmp_path / "x.html") < 10_000


def test_chance_is_a_matter_of_how_many_images() -> None:
    assert judge(12.0, 10.0, 100) is False and judge(12.0, 10.0, 10_000) is True
    assert judge(12.0, None, 100) is None and judge(12.0, 0.0, 100) is None


def test_a_chart_keeps_its_points_in_the_frame() -> None:
    drawn = chart("loss", "", [Curve("a", 0, tuple((float(n), 1 / n) for n in range(1, 1001)), 1000.0, "best")])
    assert drawn.curves[0].path.count("L") == 399 and drawn.curves[0].mark == (drawn.right, drawn.curves[0].mark[1])
    places = [tuple(map(float, each.split())) for each in drawn.curves[0].path[1:].split("L")]
    assert all(drawn.left <= x <= drawn.right and drawn.top <= y <= drawn.bottom for x, y in places)
    with pytest.raises(ValueError, match="finite"):
        chart("loss", "", [Curve("a", 0, ((1.0, float("nan")),))])


def test_on_the_command_line(runs: dict[str, Run], tmp_path: Path) -> None:
    out = tmp_path / "page.txt"
    done = CliRunner().invoke(app, ["report", str(runs["coins"].folder), "--out", str(out)])
    assert done.exit_code == 2 and "ends in .html" in done.output.replace("\n", " ")
    done = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert done.exit_code == 2 and "no run folder" in done.output.replace("\n", " ")


@pytest.mark.skipif(not CHROMIUM.exists(), reason="no /usr/bin/chromium: pages are not looked at in a browser")
def test_in_a_browser_on_a_phone(runs: dict[str, Run], tmp_path: Path) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    report_page([runs["coins"], runs["fine"]], tmp_path / "page.html")
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            view = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme)
            page, said = view.new_page(), []
            page.on("console", lambda message, said=said: said.append(message.text))
            page.on("pageerror", lambda error, said=said: said.append(str(error)))
            page.goto((tmp_path / "page.html").as_uri())
            page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
            assert said == []
        browser.close()


def test_on_real_images(data_folder: Path, tmp_path: Path) -> None:
    manifest = load_data("cifar100", data_folder)
    rows = np.concatenate([manifest.rows("train")[:400], manifest.rows("test")[:200]])
    recipe = tiny_recipe(data="cifar100", method="coins", image_size=32, epochs=1, options={"lambda": 0.1})
    run = train(recipe, tmp_path / "run", manifest.select(rows), progress=False)
    report_page([run], tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "200 test images" in text and "aquatic mammals" in text
    assert_whole(read_page(tmp_path / "page.html"))
