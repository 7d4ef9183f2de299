"""`linnet check`: exit codes, files, and collections that cannot be read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from linnet.cli.app import app
from tests.doctor.planted import photo, plant, table, write_clean


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["check", *map(str, arguments)])


def test_a_clean_table(tmp_path: Path) -> None:
    path = table(tmp_path, write_clean(tmp_path))
    done = call(path, "--fail-on", "warning", "--json", tmp_path / "found.json")
    assert done.exit_code == 0, done.output
    assert "nothing found that is wrong or odd" in done.stdout
    assert f"linnet train {path} method=coarse-constraint" in done.stdout
    content = json.loads((tmp_path / "found.json").read_text())
    assert content["findings"] == [] and content["methods"]["start"][0]["method"] == "coarse-constraint"


def test_exit_codes_and_files(tmp_path: Path) -> None:
    path = plant(tmp_path)
    done = call(path, "--html", tmp_path / "found.html", "--json", tmp_path / "found.json", "--workers", 2)
    assert done.exit_code == 3, done.output
    for part in (
        "39 images (train 28, test 11)",
        "error truncated-image: truncated images: 1\n  cut.jpg (photos.csv, line 23): image file is truncated",
        "00.jpg (photos.csv, line 2), copy.jpg (photos.csv, line 30): in train and test",
        "Green_tailed_Towhee is under Tern, not under Towhee",
    ):
        assert part in done.stdout
    assert (tmp_path / "found.html").is_file() and json.loads((tmp_path / "found.json").read_text())["summary"]
    assert call(path, "--fail-on", "never").exit_code == 0


def test_warnings_fail_only_where_asked(tmp_path: Path) -> None:
    photo(50, 20, 20).save(tmp_path / "tiny.png")
    path = table(tmp_path, [*write_clean(tmp_path), ("tiny.png", "train", "Tern", "Least_Tern")])
    assert [call(path, "--fail-on", level).exit_code for level in ("error", "warning", "never")] == [0, 3, 0]


def test_labels_that_are_no_hierarchy_are_a_finding_and_images_are_seen_all_the_same(tmp_path: Path) -> None:
    rows = [*write_clean(tmp_path), ("none.jpg", "train", "Owl", "Least_Tern")]
    (tmp_path / "none.jpg").write_bytes(b"")
    done = call(table(tmp_path, rows), "--json", tmp_path / "found.json")
    assert done.exit_code == 3 and "a class can have one parent only" in done.stdout
    content = json.loads((tmp_path / "found.json").read_text())
    assert {"manifest-refused", "empty-file"} <= {each["code"] for each in content["findings"]}
    assert content["methods"] is None


def test_a_table_that_cannot_be_read_is_one_finding(tmp_path: Path) -> None:
    rows = write_clean(tmp_path)
    html = tmp_path / "found.html"
    done = call(table(tmp_path, [*rows, rows[0]]), "--json", tmp_path / "found.json", "--html", html)
    assert done.exit_code == 3, done.output
    (found,) = json.loads((tmp_path / "found.json").read_text())["findings"]
    assert found["code"] == "manifest-refused" and "line 2; " in found["title"]
    assert "there more than once" in html.read_text()


def test_files_that_are_passed_over_are_noted(tmp_path: Path) -> None:
    for number in range(12):
        folder = tmp_path / "photos" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        photo(number).save(folder / f"{number}.jpg")
    (tmp_path / "photos" / "a" / "notes.txt").write_text("seen at dawn")
    done = call(tmp_path / "photos", "--fail-on", "warning")
    assert done.exit_code == 0, done.output
    assert "note passed-over" in done.stdout and "1 .txt" in done.stdout
    assert "start with coins" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "neither a known data set nor a file or folder"),
        (["creatures", "epochs=3"], "epochs: check takes only allow_skips, attributes, coarse"),
        (["creatures", "coarse=order"], "no level 'order'"),
    ],
)
def test_mistakes_of_the_user(arguments: list[str], message: str) -> None:
    done = call(*arguments)
    assert done.exit_code == 2 and message in done.stderr
