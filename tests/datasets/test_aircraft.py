"""FGVC-Aircraft: its three levels, on small stand-ins, and on the official lists of images."""

from __future__ import annotations

from pathlib import Path

import pytest

from linnet.datasets import aircraft, load_data
from linnet.errors import DataError, ManifestError, TaxonomyError
from tests.datasets.listed import change

ROWS = {
    "train": {"0034309": ("Boeing", "Boeing 737", "737-200"), "0000007": ("Airbus", "A320", "A320")},
    "val": {"1234567": ("Boeing", "Boeing 747", "747-400")},
    "test": {"0999999": ("Boeing", "Boeing 737", "737-300"), "0000008": ("Airbus", "A320", "A321")},
}


def write(folder: Path, rows: dict[str, dict[str, tuple[str, ...]]]) -> Path:
    folder.mkdir(parents=True)
    for part, listed in rows.items():
        for depth, level in enumerate(aircraft.LEVELS):
            text = "".join(f"{key} {names[depth]}\n" for key, names in listed.items())
            (folder / f"images_{level}_{part}.txt").write_text(text)
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path / aircraft.FOLDER / "data", ROWS)
    return tmp_path


@pytest.mark.parametrize("inner", ["", aircraft.FOLDER, f"{aircraft.FOLDER}/data"])
def test_three_levels(root: Path, inner: str) -> None:
    manifest = load_data("aircraft", root / inner)
    assert manifest.taxonomy.levels == ("manufacturer", "family", "variant")
    assert manifest.taxonomy.classes == (
        ("Airbus", "Boeing"),
        ("A320", "Boeing 737", "Boeing 747"),
        ("737-200", "737-300", "747-400", "A320", "A321"),
    )
    assert manifest.targets.tolist() == [[1, 1, 0], [0, 0, 3], [1, 2, 2], [1, 1, 1], [0, 0, 4]]
    assert manifest.path(1) == root / aircraft.FOLDER / "data" / "images" / "0000007.jpg"
    assert (manifest.rows("train").tolist(), manifest.rows("test").tolist()) == ([0, 1, 2], [3, 4])


def test_the_official_validation_split(root: Path) -> None:
    manifest = load_data("aircraft-validation", root)
    assert [manifest.rows(split).tolist() for split in ("train", "validation", "test")] == [[0, 1], [2], [3, 4]]


def test_lists_that_do_not_fit(root: Path) -> None:
    folder = root / aircraft.FOLDER / "data"
    change(folder / "images_family_val.txt", "1234567", "1234568")
    with pytest.raises(DataError, match=r"do not fit together:[^$]*images_family_val.txt: no image 1234567"):
        aircraft.load(root)
    change(folder / "images_family_val.txt", "1234568 Boeing 747", "1234567 A320")
    with pytest.raises(TaxonomyError, match="A320"):
        aircraft.load(root)
    change(folder / "images_family_val.txt", "A320", "Boeing 747")
    for level in aircraft.LEVELS:
        change(folder / f"images_{level}_val.txt", "1234567", "0999999")
    with pytest.raises(ManifestError, match=r"images_variant_val.txt, line 1; images_variant_test.txt, line 1"):
        aircraft.load(root)


def test_an_absent_set_says_what_where_and_how(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"'images_manufacturer_train.txt', .*{aircraft.URL}.*LINNET_DATA"):
        aircraft.load(tmp_path)


def test_the_official_lists(data_folder: Path, tmp_path: Path) -> None:
    """A copy of them has numbers for names; images, splits and which class lies under which are theirs."""
    source = data_folder / "lists" / "hawkeye" / "aircraft"
    if not source.is_dir():
        pytest.skip("LINNET_DATA is set, and holds no list of FGVC-Aircraft under lists/")
    (tmp_path / "data").mkdir()
    for part in ROWS:
        for level in aircraft.LEVELS:
            listed = (line.split() for line in (source / f"{part}_{level}.txt").read_text().splitlines())
            text = "".join(f"{image.removesuffix('.jpg')} {level} {number}\n" for number, image in listed)
            (tmp_path / "data" / f"images_{level}_{part}.txt").write_text(text)
    manifest = load_data("aircraft-validation", tmp_path)
    assert [manifest.taxonomy.count(level) for level in aircraft.LEVELS] == [30, 70, 100]
    assert [len(manifest.rows(split)) for split in ("train", "validation", "test")] == [3334, 3333, 3333]
