"""Flowers-102: its botany, and the reader on a small stand-in and on the real files."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from linnet.datasets import flowers, load_data
from linnet.errors import DataError


def write(folder: Path, labels: list[int], **splits: list[int]) -> None:
    folder.mkdir(exist_ok=True)
    savemat(folder / "imagelabels.mat", {"labels": np.array([labels], dtype=np.uint8)})
    savemat(folder / "setid.mat", {name: np.array([numbers], dtype=np.uint16) for name, numbers in splits.items()})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path / flowers.FOLDER, [77, 1, 102, 77, 77, 77, 77], trnid=[1, 3], valid=[2], tstid=[4, 5, 6, 7])
    return tmp_path


def test_the_botany_of_102_flowers() -> None:
    tree = flowers.taxonomy()
    assert [tree.count(level) for level in tree.levels] == [47, 96, 102]
    families = Counter(tree.classes[0][family] for family in tree.ancestor(2, 0))
    assert families.most_common(3) == [("Asteraceae", 19), ("Ranunculaceae", 9), ("Iridaceae", 5)]
    genera = Counter(tree.classes[1][genus] for genus in tree.ancestor(2, 1))
    assert {name: n for name, n in genera.items() if n > 1} == {
        "Iris": 3,
        "Oenothera": 2,
        "Dianthus": 2,
        "Dahlia": 2,
        "Anemone": 2,
    }
    assert all(name.endswith("aceae") for name in tree.classes[0])
    assert (tree.classes[2][0], tree.classes[2][76], tree.classes[2][101]) == (
        *("pink primrose", "passion flower", "blackberry lily"),
    )


def test_names_are_those_of_torchvision_in_its_order() -> None:
    from torchvision.datasets import Flowers102

    assert [name.rstrip("?") for name in Flowers102.classes] == list(flowers.taxonomy().classes[2])


@pytest.mark.parametrize("inside", [False, True])
def test_reads_the_official_split(root: Path, inside: bool) -> None:
    manifest = load_data("flowers", root / flowers.FOLDER if inside else root)
    named = [manifest.taxonomy.classes[level][number] for level, number in enumerate(manifest.targets[0])]
    assert named == ["Passifloraceae", "Passiflora", "passion flower"]
    assert manifest.targets[:, 2].tolist() == [76, 0, 101, 76, 76, 76, 76]
    assert manifest.path(0) == root / flowers.FOLDER / "jpg" / "image_00001.jpg"
    assert [manifest.rows(split).tolist() for split in ("train", "validation", "test")] == [[0, 2], [1], [3, 4, 5, 6]]


def test_draws_the_papers_split(root: Path) -> None:
    drawn = load_data("flowers-hgtl", root)
    assert drawn.split_names == ("train", "test")
    passion = drawn.split_codes[[0, 3, 4, 5, 6]]
    assert np.bincount(passion).tolist() == [3, 2]
    assert drawn.split_codes.tolist() == load_data("flowers-hgtl", root, seed=0).split_codes.tolist()


@pytest.mark.parametrize(
    ("splits", "told"),
    [
        ({"trnid": [1], "valid": [2], "tstid": [2, 3, 4, 5, 6, 7]}, "tstid does not fit 7 images"),
        ({"trnid": [1], "valid": [2], "tstid": [8]}, "tstid does not fit 7 images"),
        ({"trnid": [1], "valid": [2], "tstid": [3]}, "4 of 7 images have no split"),
        ({"trnid": [1], "valid": [2]}, "it holds no tstid"),
    ],
)
def test_split_lists_that_do_not_fit(root: Path, splits: dict[str, list[int]], told: str) -> None:
    write(root / flowers.FOLDER, [77, 1, 102, 77, 77, 77, 77], **splits)
    with pytest.raises(DataError, match=told):
        flowers.load(root)
    assert len(flowers.load(root, split="drawn")) == 7  # it does not read them


def test_damaged_and_absent_files(root: Path) -> None:
    write(root / flowers.FOLDER, [103])
    with pytest.raises(DataError, match=r"labels are not in 1\.\.102"):
        flowers.load(root)
    (root / flowers.FOLDER / "imagelabels.mat").write_bytes(b"no matrix")
    with pytest.raises(DataError, match="not the official file"):
        flowers.load(root)
    (root / flowers.FOLDER / "imagelabels.mat").unlink()
    with pytest.raises(DataError, match=r"the files 'imagelabels.mat' are not in .*102flowers.tgz"):
        flowers.load(root)


def test_the_official_files(data_folder: Path) -> None:
    """Paper 000, Table 1: 102 species in 47 classes, 4,917 training and 3,272 test images."""
    if not (data_folder / flowers.FOLDER).is_dir():
        pytest.skip("no Flowers-102 there")
    counts = {split: len(load_data("flowers", data_folder).rows(split)) for split in ("train", "validation", "test")}
    assert counts == {"train": 1020, "validation": 1020, "test": 6149}
    drawn = load_data("flowers-hgtl", data_folder, seed=3)
    assert (len(drawn.rows("train")), len(drawn.rows("test"))) == (4917, 3272)
    assert drawn.path(0).is_file() and drawn.path(8188).is_file()
