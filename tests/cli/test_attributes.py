"""`linnet attributes`: the report on creatures, on tables of a user's own, and what it cannot report on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from linnet.cli.app import app


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["attributes", *map(str, arguments)])


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two families of two, and a class that is alone."""
    path = tmp_path / "photos.csv"
    rows = ["cat,tabby", "cat,manx", "dog,husky", "dog,pug", "fish,cod"]
    path.write_text("image,coarse,fine\n" + "".join(f"{n}.jpg,{row}\n" for n, row in enumerate(rows)))
    return path


def test_creatures_are_told_apart() -> None:
    found = json.loads(call("creatures", "--json").stdout)
    assert (found["attributes"], found["fine_classes"], found["constant"]) == (19, 24, [])
    assert -1 < found["between"] < found["within"] < 0.95
    assert len(found["families"]) == 6 and not any(family["alike"] for family in found["families"])
    assert found["families"][0]["coarse"] == "beetle" and len(found["families"][0]["fine"]) == 4


def test_siblings_that_are_described_alike_are_named(photos: Path) -> None:
    table = photos.with_name("a.csv")
    table.write_text("class,fur,legs\ntabby,1,4\nmanx,1,4\nhusky,2,4\npug,0,4\ncod,0,4\n")
    done = call(photos, f"attributes={table}")
    assert done.exit_code == 0, done.output
    for part in (
        "5 classes of level fine in 3 of level coarse; 1 of these have one child",
        "columns that are the same for all classes: 1 of 2 (legs)",
        "(cosine 0.95 or more): 1 (manx and tabby)",
    ):
        assert part in done.stdout
    content = json.loads(call(photos, f"attributes={table}", "--json", "classes=['dog']").stdout)
    assert [family["coarse"] for family in content["families"]] == ["dog"]
    assert content["families"][0]["closest"] == {"classes": ["husky", "pug"], "cosine": -1.0}


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        (None, [], "has no descriptions of its classes: give a table, attributes=FILE"),
        ("class,fur\ntabby,1\n", ["attributes=a.csv"], "describes 1 classes, and not these:\n  'cod'"),
        ("class,fur\ntabby,1\n", ["epochs=3"], "epochs: attributes takes only levels, delimiter"),
        (None, ["attributes=b.csv"], "b.csv: no such file"),
    ],
)
def test_what_cannot_be_reported_on(
    photos: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(photos.parent)
    if text is not None:
        Path("a.csv").write_text(text)
    done = call("photos.csv", *arguments)
    assert done.exit_code == 2 and message in done.stderr


def test_real_birds(data_folder: Path) -> None:
    """The real class attributes: siblings share a good part of their description, and yet none are alike."""
    found = json.loads(call("cub", "--root", data_folder, "--json").stdout)
    assert found["attributes"] == 312 and found["constant"] == []
    assert found["between"] < 0.05 < 0.2 < found["within"] < 0.6
    assert not any(family["alike"] for family in found["families"])
