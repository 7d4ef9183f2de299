"""Every kind of defect planted and found, and a collection without any in which nothing is."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from linnet.attributes import Attributes
from linnet.cli.train import read_settings
from linnet.datasets import load_data
from linnet.doctor import Checkup, Severity, examine
from linnet.doctor.duplicates import exact_groups
from linnet.doctor.page import check_page
from linnet.doctor.scan import scan_images
from linnet.images.check import check_images
from linnet.manifest import read_manifest
from linnet.recipes import Recipe
from linnet.training.data import prepare
from tests.doctor.planted import photo, plant, table, write_clean


def checked(path: Path, **settings: object) -> Checkup:
    return examine(read_manifest(path), Recipe.read({"data": str(path), **settings}), (str(path),))


def images_of(checkup: Checkup, code: str) -> list[list[str]]:
    """The files of every case of a code."""
    content = checkup.content()
    items = [item for each in content["findings"] if each["code"] == code for item in each["items"]]
    return [[row["image"] for row in item["rows"]] for item in items]


def test_a_clean_collection_has_no_finding(tmp_path: Path) -> None:
    found = checked(table(tmp_path, write_clean(tmp_path)))
    assert found.findings == () and found.worst() is None
    assert found.advice is not None and found.advice.start[0].method == "coarse-constraint"


def test_every_planted_defect_is_found_with_its_files(tmp_path: Path) -> None:
    found = checked(plant(tmp_path))
    expected = {
        "missing-file": [["gone.jpg"]],
        "empty-file": [["none.jpg"]],
        "not-an-image": [["text.jpg"]],
        "truncated-image": [["cut.jpg"]],
        "several-frames": [["moving.gif"]],
        "tiny-image": [["tiny.png"]],
        "long-image": [["long.png"]],
        "blank-image": [["even.png"]],
        "duplicate-leak": [["00.jpg", "copy.jpg"]],
        "duplicate-conflict": [["02.jpg", "other.jpg"]],
        "duplicate": [["01.jpg", "again.jpg"]],
        "near-duplicate-leak": [["03.jpg", "near.jpg"]],
        "near-duplicate-conflict": [["04.jpg", "near-other.jpg"]],
        "near-duplicate": [["05.jpg", "near-again.jpg"]],
        "unlabelled": [["blank.jpg"]],
        "blank-labels": [["half.jpg"]],
        "class-without-training": [["unseen.jpg"]],
    }
    assert {code: images_of(found, code) for code in expected} == expected
    by_code = {each.code: each for each in found.findings}
    assert ["alone.jpg"] in images_of(found, "singleton") and ["single.jpg"] in images_of(found, "singleton")
    assert by_code["name-suffix"].items[0].classes == ("Green_tailed_Towhee", "Tern", "Towhee")
    assert by_code["alike-names"].items[0].classes == ("Eastern_Towhe", "Eastern_Towhee")
    assert by_code["only-child"].items[0].classes == ("Owl", "Barn_Owl")
    assert {"imbalance", "class-without-test"} <= by_code.keys()
    assert by_code["duplicate-leak"].severity == Severity.ERROR == found.worst()
    assert by_code["long-image"].items[0].says == "400 x 30 pixels: a square is 1/13 of it"
    ranks = [each.severity.rank for each in found.findings]
    assert ranks == sorted(ranks)


def test_one_blank_label_does_not_hide_what_the_others_allow(tmp_path: Path) -> None:
    advice = checked(plant(tmp_path)).advice
    assert advice is not None and advice.allowed == ("instance",)
    assert advice.start[0].method == "any-level" and "(1) have one" in advice.once


@pytest.mark.parametrize("names", [["gone.jpg"], ["gone.jpg", "lost.jpg"], ["gone.jpg", "there.png"]])
def test_a_table_of_images_that_are_hardly_there(tmp_path: Path, names: list[str]) -> None:
    """The wrong --root, say: no image, or one, is left to compare."""
    Image.new("RGB", (32, 32)).save(tmp_path / "there.png")
    lines = ["image,split,coarse", *(f"{name},train,bird" for name in names)]
    (tmp_path / "images.csv").write_text("\n".join(lines))
    found = images_of(checked(tmp_path / "images.csv"), "missing-file")
    assert [row for item in found for row in item] == [name for name in names if name != "there.png"]


def test_splits_that_training_would_refuse(tmp_path: Path) -> None:
    rows = write_clean(tmp_path)
    path = table(tmp_path, [*rows[:-1], (rows[-1][0], "", *rows[-1][2:])])
    found = checked(path)
    assert [each.code for each in found.findings] == ["split-missing"] and found.advice is None
    path = table(tmp_path, [(name, "test", *rest) for name, _, *rest in rows])  # type: ignore[misc]
    assert [each.code for each in checked(path).findings] == ["no-training-split"]


def test_truncation_is_found_as_by_decoding_in_full(tmp_path: Path) -> None:
    """Decoding at an eighth must not miss what decoding in full finds, wherever a file ends."""
    rows = []
    for progressive in (False, True):
        photo(0, 900, 1200).save(tmp_path / "whole.jpg", quality=90, progressive=progressive)
        content = (tmp_path / "whole.jpg").read_bytes()
        for cut in (200, len(content) // 3, len(content) * 9 // 10, len(content) - 400, len(content)):
            name = f"{progressive}-{cut}.jpg"
            (tmp_path / name).write_bytes(content[:cut])
            rows.append((name, "train", "Tern", "Arctic_Tern"))
    manifest = read_manifest(table(tmp_path, rows))
    found = scan_images(manifest, workers=1)
    with pytest.raises(Exception, match="8 of 10 images cannot be used"):
        check_images(manifest)
    assert sorted(found.broken) == [0, 1, 2, 3, 5, 6, 7, 8]
    assert found.widths[4] == 1200 and found.heights[4] == 900


def test_sizes_are_upright_and_threads_change_nothing(tmp_path: Path) -> None:
    rows = write_clean(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 6
    photo(0).save(tmp_path / "00.jpg", exif=exif)
    manifest = read_manifest(table(tmp_path, rows))
    one, many = scan_images(manifest, workers=1), scan_images(manifest, workers=4)
    assert (one.widths[0], one.heights[0]) == (90, 120)
    assert (one.looks == many.looks).all() and (one.digests == many.digests).all()
    firsts, groups = exact_groups(manifest, one)
    assert firsts.tolist() == list(range(20)) and groups == []


def test_equal_files_are_equal_in_every_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linnet.doctor.scan._END", 64)
    rows = write_clean(tmp_path)
    for copy, of in ((7, 2), (11, 2), (18, 2), (9, 4), (14, 6)):
        (tmp_path / rows[copy][0]).write_bytes((tmp_path / rows[of][0]).read_bytes())
    other = bytearray((tmp_path / rows[14][0]).read_bytes())
    other[len(other) // 2] ^= 1  # one bit in the middle; it is another picture, however slightly
    (tmp_path / rows[14][0]).write_bytes(other)
    manifest = read_manifest(table(tmp_path, rows))
    scan = scan_images(manifest, workers=1)
    assert (scan.digests[14] == scan.digests[6]).all(), "told apart by the whole content alone"
    scan.digests[15, :8] = scan.digests[4, :8]  # alike at the start, and no more
    scan.broken[18] = "broken"
    firsts, groups = exact_groups(manifest, scan)
    assert groups == [(2, 7, 11), (4, 9)]
    assert firsts.tolist() == [row for row in range(20) if row not in (7, 9, 11, 18)]


def test_large_files_are_told_apart_as_small_ones_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = read_manifest(table(tmp_path, write_clean(tmp_path)))
    one = scan_images(manifest)
    monkeypatch.setattr("linnet.doctor.scan._MOST", 1)  # none is read as a whole
    monkeypatch.setattr("linnet.doctor.scan._END", 1)
    two = scan_images(manifest)
    assert (one.looks == two.looks).all() and (one.widths == two.widths).all() and not two.broken


def test_descriptions(tmp_path: Path) -> None:
    manifest = read_manifest(table(tmp_path, write_clean(tmp_path)))
    names = ("Arctic_Tern", "Least_Tern", "Eastern_Towhee", "Spotted_Towhee")
    values = np.array([[1, 0, 2], [1, 0, 2], [5, 1, 2], [0, 4, 2]], np.float32)
    recipe = Recipe.read({"data": "photos"})
    found = examine(replace(manifest, attributes=Attributes(names, ("a", "b", "c"), values)), recipe)
    by_code = {each.code: each for each in found.findings}
    assert by_code.keys() == {"alike-siblings", "constant-attribute"}
    assert by_code["alike-siblings"].items[0].classes == ("Arctic_Tern", "Least_Tern")
    part = Attributes(names[:3], ("a", "b", "c"), np.array([[1, 0, 2], [0, 0, 0], [5, 1, 2]], np.float32))
    found = examine(replace(manifest, attributes=part), recipe)
    assert [each.code for each in found.findings] == ["undescribed", "empty-description"]


def test_arrays_are_examined_too() -> None:
    manifest = load_data("creatures", size=16, train_per_class=4, test_per_class=2)
    assert manifest.pixels is not None
    pixels = manifest.pixels.copy()
    pixels[-1], pixels[-3] = pixels[0], 77
    found = examine(replace(manifest, pixels=pixels), Recipe.read({"data": "creatures"}))
    last = str(manifest.images[len(manifest) - 1].as_py())
    assert images_of(found, "duplicate-leak") == [[str(manifest.images[0].as_py()), last]]
    assert len(images_of(found, "blank-image")) == 1
    assert len(images_of(found, "tiny-image")) == len(manifest)


@pytest.mark.parametrize(
    ("keep", "method"),
    [("both", "coarse-constraint"), ("some", "any-level"), ("coarse", "coins"), ("neither", "instance")],
)
def test_the_commands_are_accepted_by_train(tmp_path: Path, keep: str, method: str) -> None:
    rows = write_clean(tmp_path)
    kept = {
        "both": rows,
        "some": [(n, s, c, f if at % 3 else "") for at, (n, s, c, f) in enumerate(rows)],
        "coarse": [(n, s, c, "" if s == "train" else f) for n, s, c, f in rows],
        "neither": [(n, s, "" if s == "train" else c, "" if s == "train" else f) for n, s, c, f in rows],
    }[keep]
    path = table(tmp_path, kept)
    advice = checked(path).advice
    assert advice is not None and advice.start[0].method == method
    for each in advice.start:
        words = shlex.split(each.command)
        assert words[:2] == ["linnet", "train"] and words[-2] == "--out"
        recipe = read_settings(words[2:-2], None, None)
        assert recipe.method == each.method
        prepare(recipe.change(select_on="last"), read_manifest(path))


def test_the_page_is_whole_and_escapes(tmp_path: Path) -> None:
    path = plant(tmp_path)
    path.write_text(path.read_text().replace("Barn_Owl", "<b>Owl</b>"))
    target = tmp_path / "check.html"
    size = check_page(checked(path), target)
    text = target.read_text()
    assert size == len(text.encode()) < 2_000_000
    assert "<b>Owl</b>" not in text and "&lt;b&gt;Owl" in text
    assert "http" not in text.replace("http-equiv", "") and "<script" not in text
    for code in ("duplicate-leak", "near-duplicate-conflict", "name-suffix"):
        assert f"<code>{code}</code>" in text
    assert text.count("<img ") > 15


def test_json_is_plain(tmp_path: Path) -> None:
    content = json.loads(json.dumps(checked(plant(tmp_path)).content(), allow_nan=False))
    assert content["version"] == 1 and content["summary"]["error"] == 6
    assert content["floors"]["split"] == "test" and content["floors"]["levels"][1]["child"] > 0
    row = next(each for each in content["findings"] if each["code"] == "missing-file")["items"][0]["rows"][0]
    assert row["image"] == "gone.jpg" and row["where"].endswith("photos.csv, line 22")


def test_real_birds(data_folder: Path) -> None:
    """Nothing is broken in the public set; the published slip is found, and mended it is not."""
    manifest = load_data("cub-official", data_folder)
    chosen = np.concatenate([np.flatnonzero(manifest.labels("fine") == n)[::12] for n in range(100)])
    found = examine(manifest.select(chosen), Recipe.read({"data": "cub-official"}))
    assert not [each for each in found.findings if each.severity == Severity.ERROR]
    slips = [item.classes for each in found.findings if each.code == "name-suffix" for item in each.items]
    names = set(manifest.taxonomy.classes[1])
    assert slips == ([("Green_tailed_Towhee", "Tern", "Towhee")] if "Green_tailed_Towhee" in names else [])
