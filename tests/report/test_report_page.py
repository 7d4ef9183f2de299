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
from linnet.discover.pictures import write_images
from linnet.errors import RunError
from linnet.manifest import write_manifest
from linnet.randomness import generator
from linnet.report.chart import Curve, chart
from linnet.report.comparison import judge
from linnet.report.page import Album, write_page
from linnet.report.plane import place_labels
from linnet.report.report_page import report_page
from linnet.report.series import Measured, Series
from linnet.report.words import part_played
from linnet.training.api import train
from linnet.training.run import Run
from tests.report.reader import assert_whole, read_page
from tests.training.tiny import tiny_manifest, tiny_recipe

CHROMIUM = Path("/usr/bin/chromium")
FOLDED = "[...document.querySelectorAll('details:not([open]) table')].filter(each => each.checkVisibility()).length"
WIDE = "[...document.querySelectorAll('body *')].filter(each => each.getBoundingClientRect().right > 689).length"
BREAKS = "[...document.querySelectorAll('.part')].map(each => getComputedStyle(each).breakBefore)"
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


def test_what_the_images_had_to_do_with_training(runs: dict[str, Run]) -> None:
    def series(number: int, kind: str, **settings: Any) -> Series:
        run = Run(runs[kind].folder, runs[kind].recipe.change(**settings), runs[kind].data)
        return Series(number, kind, (Measured(run, kind, run.load(), run.evaluate()),))

    usual, last = series(0, "coins"), series(1, "last")
    assert part_played("test", [usual, last]) == "which had no part in training or in the choice of the epoch"
    assert "these images chose the epoch, which flatters" in part_played("validation", [usual])
    assert "chose the epoch of coins, which flatters" in part_played("validation", [usual, last])
    assert part_played("validation", [last]) == part_played("test", [usual])
    assert "chose the epoch, which flatters" in part_played("test", [series(0, "coins", select_on="test")])
    plateau = series(0, "coins", schedule="plateau")
    assert "chose the epoch and lowered the learning rate, which" in part_played("validation", [plateau])
    assert part_played("train", [usual]).startswith("which the runs learned from")


@pytest.mark.skipif(not CHROMIUM.exists(), reason="no /usr/bin/chromium: pages are not looked at in a browser")
def test_in_a_browser(runs: dict[str, Run], tmp_path: Path) -> None:
    """On a phone and on paper nothing is wider than the page; nothing is fetched; paper is light and folds nothing."""
    sync_api = pytest.importorskip("playwright.sync_api")
    report_page([runs["coins"], runs["fine"]], tmp_path / "page.html")
    address = (tmp_path / "page.html").as_uri()
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            view = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme)
            page, said, asked = view.new_page(), [], []
            page.on("console", lambda message, said=said: said.append(message.text))
            page.on("pageerror", lambda error, said=said: said.append(str(error)))
            page.on("request", lambda request, asked=asked: asked.append(request.url))
            page.goto(address)
            folded = (
                "[...document.querySelectorAll('details:not([open]) table')].filter(e => e.checkVisibility()).length"
            )
            assert page.evaluate(folded) == 0
            page.emulate_media(media="print")
            page.set_viewport_size({"width": 688, "height": 1000})  # A4 within its margins
            assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
            assert page.evaluate("document.documentElement.scrollWidth") <= 688
            assert page.evaluate(WIDE) == 0, "paper does not scroll"
            assert page.evaluate(FOLDED) > 0, "paper opens what is folded"
            assert page.evaluate(BREAKS) == ["auto", *["page"] * (page.locator(".part").count() - 1)]
            page.emulate_media(media="screen")
            page.set_viewport_size({"width": 390, "height": 844})
            page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
            assert said == [] and [each for each in asked if not each.startswith("data:")] == [address]
        browser.close()


def test_names_on_a_map_never_touch() -> None:
    draw = generator(0, "map")
    names = [("a long name " * 3 if number % 3 else "short") + str(number) for number in range(24)]
    members = {number: draw.normal((200, 100), (60, 30), (1, 2)) + draw.normal(0, 2, (40, 2)) for number in range(24)}
    found = place_labels(members, {number: 40 - number for number in range(24)}, names, 200.0)
    boxes = [(x, y, 0.34 * 10.5 * len(names[number])) for number, (x, y) in found.items()]
    assert 4 < len(boxes) < 24, "some fit, and some do not"
    for place, (x, y, half) in enumerate(boxes):
        assert half <= x <= 400 - half and 10 <= y <= 198
        for other_x, other_y, wide in boxes[:place]:
            assert abs(y - other_y) > 15 or abs(x - other_x) > half + wide


def test_names_of_stages_stand_clear() -> None:
    line = Curve("a", 0, tuple((float(n), 1.0 * n) for n in range(1, 41)))
    stages = [(1.0, "encoder"), (11.0, "generator"), (12.0, "classifier"), (30.0, "a last one"), (40.0, "the end")]
    drawn = chart("loss", "", [line], stages)
    assert [name for _, name in drawn.stages] == ["generator", "", "a last one", ""], "a name without room goes"
    assert len(drawn.curves[0].dots) == 40
    many = chart("loss", "", [Curve(str(n), n, tuple((float(x), 1.0 * x) for x in range(900))) for n in range(24)])
    assert sum(each.path.count("L") + 1 for each in many.curves) <= 4000


def test_data_that_was_moved(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    manifest = write_images(tiny_manifest(), files.make_folder(old))
    write_manifest(manifest, old / "photos.csv")
    run = train(tiny_recipe(data=str(old / "photos.csv"), epochs=1), tmp_path / "run", progress=False)
    run.evaluate()
    old.rename(new)
    command = ["report", str(run.folder), "--out", str(tmp_path / "page.html")]
    done = CliRunner().invoke(app, command)
    told = " ".join(done.output.split())
    assert done.exit_code == 2 and "images that it learned from cannot be read" in told
    assert "--root FOLDER" in told and "--data PATH" in told
    done = CliRunner().invoke(app, [*command, "--data", str(new / "photos.csv")])
    assert done.exit_code == 0, done.output
    assert_whole(read_page(tmp_path / "page.html"))
    table = tmp_path / "photos.csv"  # the table alone, its images elsewhere
    files.write_text(table, (new / "photos.csv").read_text())
    done = CliRunner().invoke(app, [*command, "--data", str(table)])
    told = " ".join(done.output.split())
    assert done.exit_code == 2 and "are not there" in told and "--root FOLDER" in told and "Traceback" not in told
    done = CliRunner().invoke(app, [*command, "--data", str(table), "--root", str(new)])
    assert done.exit_code == 0, done.output
    files.write_text(table, "\n".join(table.read_text().splitlines()[:-1]))
    done = CliRunner().invoke(app, [*command, "--data", str(table), "--root", str(new)])
    assert done.exit_code == 2 and "is not what" in " ".join(done.output.split())


def test_on_real_images(data_folder: Path, tmp_path: Path) -> None:
    manifest = load_data("cifar100", data_folder)
    rows = np.concatenate([manifest.rows("train")[:400], manifest.rows("test")[:200]])
    recipe = tiny_recipe(data="cifar100", method="coins", image_size=32, epochs=1, options={"lambda": 0.1})
    run = train(recipe, tmp_path / "run", manifest.select(rows), progress=False)
    report_page([run], tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "200 test images" in text and "aquatic mammals" in text
    assert_whole(read_page(tmp_path / "page.html"))
