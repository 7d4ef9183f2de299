"""Every code that the doctor knows, each planted alone into a clean collection, and told by the command."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from linnet.cli.app import app
from linnet.doctor import Code, Severity, examine
from linnet.manifest import read_manifest
from linnet.recipes import Recipe
from linnet.taxonomy import Taxonomy
from tests.doctor.planted import photo, table, write_clean

Rows = list[tuple[str, str, str, str]]
"""Image, split, coarse and fine class. In the clean ones image n is of class n % 4, and in train below 12."""

ERROR, WARNING, NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE


@dataclass(frozen=True)
class Planted:
    """A defect: what is done to a clean collection's folder and rows, and what is to be said of it.

    Attributes:
        images: the files of every case; `classes` their classes.
        says: what the title and the cases say, in part.
        also: other codes that such a collection cannot be without.
    """

    severity: Severity
    plant: Callable[[Path, Rows], object]
    images: list[list[str]] = field(default_factory=list)
    classes: list[list[str]] = field(default_factory=list)
    says: str = ""
    also: frozenset[Code] = frozenset()


def write(name: str, content: bytes) -> Callable[[Path, Rows], object]:
    return lambda folder, _: (folder / name).write_bytes(content)


def picture(image: Callable[[], Image.Image], name: str = "00.png", **options: Any) -> Callable[[Path, Rows], None]:
    """Another picture in place of the first."""

    def plant(folder: Path, rows: Rows) -> None:
        image().save(folder / name, **options)
        rows[0] = (name, *rows[0][1:])

    return plant


def header(width: int, height: int) -> bytes:
    """A PNG of a few bytes that tells of a large picture."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(bytes(99)))]
    body = b"".join(struct.pack(">I", len(c)) + n + c + struct.pack(">I", zlib.crc32(n + c)) for n, c in chunks)
    return b"\x89PNG\r\n\x1a\n" + body


def cut(folder: Path, _: Rows) -> None:
    whole = (folder / "00.jpg").read_bytes()
    (folder / "00.jpg").write_bytes(whole[: len(whole) // 2])


def damaged(folder: Path, rows: Rows) -> None:
    """Whole in length, but its compressed data are no such."""
    picture(lambda: photo(0))(folder, rows)
    content = bytearray((folder / "00.png").read_bytes())
    start = content.index(b"IDAT") + 40
    content[start : start + 40] = bytes(40)
    (folder / "00.png").write_bytes(content)


def huge() -> Image.Image:
    large = Image.new("L", (8000, 5000), 90)
    large.paste(photo(0).convert("L").resize((4000, 3000)))
    return large


def bombs(folder: Path, _: Rows) -> None:
    (folder / "00.jpg").write_bytes(header(60_000, 60_000))
    (folder / "01.jpg").write_bytes(header(10_000, 9_000))  # Pillow alone would only warn


def copied(name: str) -> Callable[[Path, Rows], object]:
    return lambda folder, _: (folder / name).write_bytes((folder / "00.jpg").read_bytes())


def near(*names: str) -> Callable[[Path, Rows], None]:
    def plant(folder: Path, _: Rows) -> None:
        for number, name in enumerate(names):
            photo(0).resize((80, 60)).save(folder / name, quality=70 - number)

    return plant


def changed(change: Callable[[int, tuple[str, str, str, str]], list[tuple[str, ...]]]) -> Callable[[Path, Rows], None]:
    """Each row as `change` gives it, from its number and itself; [] takes it out."""

    def plant(_: Path, rows: Rows) -> None:
        rows[:] = [(a, b, c, d) for number, row in enumerate(rows) for a, b, c, d in change(number, row)]

    return plant


def renamed(fine: str, name: str) -> Callable[[Path, Rows], None]:
    return changed(lambda _, row: [(*row[:3], name if row[3] == fine else row[3])])


def more(coarse: str, fine: str, train: int, test: int = 0) -> Callable[[Path, Rows], None]:
    def plant(folder: Path, rows: Rows) -> None:
        for number in range(train + test):
            photo(100 + number).save(folder / f"more-{number}.jpg")
            rows.append((f"more-{number}.jpg", "train" if number < train else "test", coarse, fine))

    return plant


def described(**numbers: str) -> Callable[[Path, Rows], list[str]]:
    """An attributes table beside the collection; classes that are not named here have their usual row."""
    usual = {"Arctic_Tern": "1,0,2", "Least_Tern": "0,3,1", "Eastern_Towhee": "5,1,3", "Spotted_Towhee": "0,4,7"}

    def plant(folder: Path, _: Rows) -> list[str]:
        lines = [f"{name},{row}" for name, row in (usual | numbers).items() if row]
        (folder / "attributes.csv").write_text("\n".join(["class,a,b,c", *lines]) + "\n")
        return [f"attributes={folder / 'attributes.csv'}"]

    return plant


PLANTED: dict[Code, Planted] = {
    Code.MANIFEST_REFUSED: Planted(ERROR, lambda _, rows: rows.append(rows[0]), says="line 2; "),
    Code.MISSING_FILE: Planted(ERROR, lambda folder, _: (folder / "00.jpg").unlink(), [["00.jpg"]]),
    Code.EMPTY_FILE: Planted(ERROR, write("00.jpg", b""), [["00.jpg"]], says="0 bytes"),
    Code.NOT_AN_IMAGE: Planted(ERROR, write("00.jpg", b"no image"), [["00.jpg"]]),
    Code.TRUNCATED_IMAGE: Planted(ERROR, cut, [["00.jpg"]], says="truncated"),
    Code.BOMB: Planted(ERROR, bombs, [["00.jpg"], ["01.jpg"]], says="10000 x 9000 pixels"),
    Code.DAMAGED_IMAGE: Planted(ERROR, damaged, [["00.png"]]),
    Code.SEVERAL_FRAMES: Planted(
        WARNING, picture(lambda: photo(0), "00.gif", save_all=True, append_images=[photo(30)]), [["00.gif"]]
    ),
    Code.HUGE_IMAGE: Planted(WARNING, picture(huge, "00.jpeg"), [["00.jpeg"]], says="8000 x 5000 pixels"),
    Code.TINY_IMAGE: Planted(WARNING, picture(lambda: photo(0, 23, 40)), [["00.png"]], says="40 x 23 pixels"),
    Code.LONG_IMAGE: Planted(NOTE, picture(lambda: photo(0, 30, 150)), [["00.png"]], says="150 x 30 pixels"),
    Code.BLANK_IMAGE: Planted(WARNING, picture(lambda: Image.new("RGB", (64, 64), (9, 200, 9))), [["00.png"]]),
    Code.DUPLICATE_LEAK: Planted(ERROR, copied("12.jpg"), [["00.jpg", "12.jpg"]], says="in train and test"),
    Code.DUPLICATE_CONFLICT: Planted(
        ERROR, copied("01.jpg"), [["00.jpg", "01.jpg"]], [["Arctic_Tern", "Least_Tern"]], says="labelled Arctic_Tern"
    ),
    Code.DUPLICATE: Planted(WARNING, copied("04.jpg"), [["00.jpg", "04.jpg"]]),
    Code.NEAR_DUPLICATE_LEAK: Planted(WARNING, near("12.jpg"), [["00.jpg", "12.jpg"]], says="likeness 0.99"),
    Code.NEAR_DUPLICATE_CONFLICT: Planted(
        WARNING, near("02.jpg"), [["00.jpg", "02.jpg"]], [["Tern", "Towhee"]], says="labelled Tern and Towhee"
    ),
    Code.NEAR_DUPLICATE: Planted(NOTE, near("04.jpg"), [["00.jpg", "04.jpg"]]),
    Code.TOO_ALIKE: Planted(WARNING, near("01.jpg", "02.jpg", "03.jpg", "04.jpg"), says="so many images look alike"),
    Code.SPLIT_MISSING: Planted(
        ERROR, changed(lambda n, row: [(row[0], "" if n == 19 else row[1], *row[2:])]), [["19.jpg"]]
    ),
    Code.NO_TRAINING_SPLIT: Planted(
        ERROR, changed(lambda _, row: [(row[0], "test", *row[2:])]), says="no image is in the split train"
    ),
    Code.NO_TEST_SPLIT: Planted(
        NOTE, changed(lambda _, row: [(row[0], "train", *row[2:])]), says="nothing is left to test"
    ),
    Code.UNLABELLED: Planted(WARNING, changed(lambda n, row: [row if n else (*row[:2], "", "")]), [["00.jpg"]]),
    Code.BLANK_LABELS: Planted(
        NOTE, changed(lambda n, row: [row if n else (*row[:3], "")]), [["00.jpg"]], says="fine label is blank"
    ),
    Code.UNEQUAL_DEPTH: Planted(
        NOTE, more("Owl", "", 3, 2), [[]], [["Owl"]], says="coarse Owl", also=frozenset({Code.BLANK_LABELS})
    ),
    Code.ONLY_CHILD: Planted(NOTE, more("Owl", "Barn_Owl", 3, 2), [[]], [["Owl", "Barn_Owl"]]),
    Code.ONE_CLASS: Planted(
        WARNING, changed(lambda _, row: [(*row[:2], "Bird", row[3])]), says="all images are of one coarse class, Bird"
    ),
    Code.SINGLETON: Planted(
        WARNING, changed(lambda n, row: [] if n in (4, 8) else [row]), [["00.jpg"]], [["Arctic_Tern"]]
    ),
    Code.IMBALANCE: Planted(
        WARNING,
        more("Tern", "Arctic_Tern", 27),
        [[], [], []],
        [["Eastern_Towhee"], ["Least_Tern"], ["Spotted_Towhee"]],
        says="Arctic_Tern has 30 training images, Eastern_Towhee 3",
    ),
    Code.EMPTY_CLASS: Planted(NOTE, lambda *_: None, [[]], [["Barn_Owl"]], says="fine classes without an image: 1"),
    Code.CLASS_WITHOUT_TRAINING: Planted(
        WARNING, changed(lambda n, row: [] if n in (0, 4, 8) else [row]), [["12.jpg"]], [["Arctic_Tern"]]
    ),
    Code.CLASS_WITHOUT_TEST: Planted(
        NOTE, changed(lambda n, row: [] if n in (12, 16) else [row]), [["00.jpg"]], [["Arctic_Tern"]]
    ),
    Code.ALIKE_NAMES: Planted(WARNING, renamed("Least_Tern", "arctic tern"), [[]], [["Arctic_Tern", "arctic tern"]]),
    Code.NAME_SUFFIX: Planted(
        WARNING,
        renamed("Least_Tern", "Green_tailed_Towhee"),
        [[]],
        [["Green_tailed_Towhee", "Tern", "Towhee"]],
        says="under Tern, not under Towhee",
    ),
    Code.UNDESCRIBED: Planted(WARNING, described(Least_Tern=""), [[]], [[]], says="Least_Tern"),
    Code.EMPTY_DESCRIPTION: Planted(WARNING, described(Least_Tern="0,0,0"), [[]], [["Least_Tern"]]),
    Code.ALIKE_SIBLINGS: Planted(
        WARNING, described(Least_Tern="1,0.4,2"), [[]], [["Arctic_Tern", "Least_Tern"]], says="cosine 0.99"
    ),
    Code.CONSTANT_ATTRIBUTE: Planted(
        NOTE,
        described(Arctic_Tern="1,0,2", Least_Tern="0,3,2", Eastern_Towhee="5,1,2", Spotted_Towhee="0,4,2"),
        [[]],
        [[]],
        says="1 of 3",
    ),
    Code.PASSED_OVER: Planted(NOTE, lambda *_: None, says="1 .txt"),
}


def test_every_code_is_planted_and_written_down() -> None:
    told = (Path(__file__).parents[2] / "docs" / "check.md").read_text()
    assert set(PLANTED) == set(Code), "a new code needs a case above"
    assert [code for code in Code if f"`{code.value}`" not in told] == []


def as_folder(folder: Path, rows: Rows) -> Path:
    """The clean collection as class folders, with a file among the pictures that is none."""
    for name, *places in rows:
        target = folder.joinpath("photos", *places, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        (folder / name).rename(target)
    (folder / "photos" / "train" / "Tern" / "Least_Tern" / "notes.txt").write_text("seen at dawn")
    return folder / "photos"


def told_by_the_command(folder: Path, data: Path, settings: list[str], severity: Severity) -> dict[str, Any]:
    """What the command writes; it fails where it is asked to fail on the severity, and on a note never."""
    fail_on = "warning" if severity == NOTE else severity.value
    given = ["check", str(data), *settings, "--json", str(folder / "found.json"), "--fail-on", fail_on]
    done = CliRunner().invoke(app, given)
    assert done.exit_code == (0 if severity == NOTE else 3), done.output
    content: dict[str, Any] = json.loads((folder / "found.json").read_text())
    return content


@pytest.mark.parametrize("code", list(Code), ids=lambda code: code.value)
def test_it_is_found_alone(code: Code, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case, rows = PLANTED[code], write_clean(tmp_path)
    settings = case.plant(tmp_path, rows)
    if code == Code.TOO_ALIKE:  # else it takes 1,415 copies
        monkeypatch.setattr("linnet.doctor.duplicates._MOST_PAIRS", 5)
    data = as_folder(tmp_path, rows) if code == Code.PASSED_OVER else table(tmp_path, rows)
    if code == Code.EMPTY_CLASS:  # only a hierarchy that is given has one
        pairs = {(coarse, fine) for _, _, coarse, fine in rows} | {("Towhee", "Barn_Owl")}
        given = Taxonomy.from_columns(("coarse", "fine"), sorted(pairs))
        content = examine(read_manifest(data, taxonomy=given), Recipe.read({"data": str(data)})).content()
    else:
        content = told_by_the_command(tmp_path, data, settings if isinstance(settings, list) else [], case.severity)
    found = {each["code"]: each for each in content["findings"]}
    assert found.keys() == {code.value} | {other.value for other in case.also}
    told = found[code.value]
    assert told["severity"] == case.severity.value
    assert told["count"] == max(1, len(case.images), len(case.classes))
    assert [[row["image"] for row in item["rows"]] for item in told["items"]] == case.images
    if case.classes:
        assert [item["classes"] for item in told["items"]] == case.classes
    assert case.says in " ".join([told["title"], *(item["says"] for item in told["items"])])
    assert told["advice"]
