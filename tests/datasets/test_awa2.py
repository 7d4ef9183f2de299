"""AWA2-HGTL: the table of coarse classes, and the reader on a small tree laid out as the official archive is."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from linnet.datasets import awa2, load_classes, load_data
from linnet.datasets.coarse import coarse_table
from linnet.errors import DataError

NAMES = ("antelope", "grizzly+bear", "killer+whale")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two of three classes have images: five and ten."""
    folder = tmp_path / awa2.FOLDER
    for name, count in (("antelope", 5), ("killer+whale", 10)):
        (folder / "JPEGImages" / name).mkdir(parents=True)
        for number in range(count):
            (folder / "JPEGImages" / name / f"{name}_{10001 + number}.jpg").touch()
    (folder / "classes.txt").write_text("".join(f"{n:6d}\t{name}\n" for n, name in enumerate(NAMES, start=1)))
    (folder / "predicates.txt").write_text("     1\tblack\n     2\twhite\n")
    (folder / awa2.MATRIX).write_text("  0.00  12.34\n 39.25   1.00\n100.00  50.00\n\n")
    return tmp_path


def test_the_table_has_15_groups_of_50_animals() -> None:
    table = coarse_table("awa2")
    counts = Counter(table.values())
    assert len(table) == 50 and len(counts) == 15
    assert sorted(counts.values()) == [1, 1, 1, 1, 2, 3, 3, 3, 3, 4, 4, 5, 6, 6, 7]
    assert table["zebra"] == table["horse"] != table["giraffe"]


@pytest.mark.parametrize("inside", [False, True])
def test_reads_the_official_layout(root: Path, inside: bool) -> None:
    manifest = load_data("awa2-hgtl", root / awa2.FOLDER if inside else root)
    assert manifest.taxonomy.classes == (("bovid", "whale"), ("antelope", "killer+whale"))
    assert manifest.targets[:, 1].tolist() == [0] * 5 + [1] * 10
    assert manifest.path(5) == root / awa2.FOLDER / "JPEGImages/killer+whale/killer+whale_10001.jpg"
    assert np.bincount(manifest.split_codes[:5]).tolist() == [3, 2]
    assert np.bincount(manifest.split_codes[5:]).tolist() == [6, 4]
    assert manifest.attributes is not None and manifest.attributes.columns == ("black", "white")
    np.testing.assert_allclose(manifest.attributes.of(["killer+whale", "antelope"]), [[1, 0.5], [0, 0.1234]], rtol=1e-6)


def test_descriptions_can_be_looked_at_before_images_are_fetched(root: Path) -> None:
    """All classes without an image anywhere, those that have one as soon as some do; to train takes images."""
    with_some = load_classes("awa2-hgtl", root)
    assert with_some.taxonomy == load_data("awa2-hgtl", root).taxonomy and len(with_some) == 15
    shutil.rmtree(root / awa2.FOLDER / "JPEGImages")
    found = load_classes("awa2-hgtl", root)
    assert len(found) == 0 and found.taxonomy.classes[1] == NAMES
    assert found.attributes is not None and found.attributes.names == NAMES
    with pytest.raises(DataError, match=r"no images NAME/\*\.jpg"):
        load_data("awa2-hgtl", root)


def test_the_seed_chooses_the_split(root: Path) -> None:
    splits = {tuple(load_data("awa2-hgtl", root, seed=seed).split_codes.tolist()) for seed in range(4)}
    assert len(splits) > 1


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("classes.txt", "1 antelope\n3 killer+whale\n", "line 2: '3 killer\\+whale'"),
        ("classes.txt", "", "it is empty"),
        ("predicates.txt", "1 black\n2\n", "line 2: '2'"),
        (awa2.MATRIX, "1 2\n3 4\n", r"not the official 3 lines of 2 percentages \(it has the shape \(2, 2\)\)"),
        (awa2.MATRIX, "1 2\n3\n5 6\n", "not the official"),
        (awa2.MATRIX, "1 2\n3 nan\n5 6\n", "not the official"),
    ],
)
def test_files_that_are_not_the_official_ones(root: Path, name: str, text: str, told: str) -> None:
    (root / awa2.FOLDER / name).write_text(text)
    with pytest.raises(DataError, match=told):
        awa2.load(root)


def test_a_name_of_another_set(root: Path) -> None:
    path = root / awa2.FOLDER / "classes.txt"
    path.write_text(path.read_text().replace("antelope", "antilope"))
    (root / awa2.FOLDER / "JPEGImages/antelope").rename(root / awa2.FOLDER / "JPEGImages/antilope")
    with pytest.raises(DataError, match="'antilope'; did you mean 'antelope'"):
        awa2.load(root)


def test_absent_images_and_files_are_told(root: Path) -> None:
    for path in (root / awa2.FOLDER / "JPEGImages").glob("*/*"):
        path.unlink()
    with pytest.raises(DataError, match=r"JPEGImages: no images.*AwA2-data.zip"):
        awa2.load(root)
    (root / awa2.FOLDER / awa2.MATRIX).unlink()
    with pytest.raises(DataError, match=r"the files 'predicate-matrix-continuous.txt' are not in"):
        awa2.load(root)


def test_the_official_class_tables(data_folder: Path) -> None:
    """Where they lie: every official name is grouped, and the tables are read, down to the missing images."""
    folder = data_folder / "awa2"
    if not folder.is_dir():
        pytest.skip("no awa2 tables there")
    with pytest.raises(DataError, match="no images"):
        awa2.load(folder)
    assert [line.split()[1] for line in (folder / "classes.txt").read_text().splitlines()] == list(coarse_table("awa2"))
