"""Stanford Dogs: both groupings of its breeds, and the reader on small stand-ins, good and bad."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from linnet.datasets import dogs, load_data
from linnet.datasets.coarse import coarse_table
from linnet.errors import DataError, ManifestError
from linnet.hierarchy import suffix

TRAIN = ["n02096051-Airedale/n02096051_1.jpg", "n02086240-Shih-Tzu/n02086240_7.jpg"]
TEST = ["n02088466-bloodhound/n02088466_3.jpg", "n02096051-Airedale/n02096051_2.jpg"]


def write_mat(path: Path, paths: list[str]) -> None:
    cells = np.empty((len(paths), 1), dtype=object)
    cells[:, 0] = paths
    savemat(path, {"file_list": cells, "labels": np.ones((len(paths), 1))})


@pytest.fixture(params=["mat", "lists/mat", "txt"])
def root(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    folder = tmp_path / dogs.FOLDER
    (folder / "Images").mkdir(parents=True)
    lists = folder / "lists" if request.param == "lists/mat" else folder
    lists.mkdir(exist_ok=True)
    for name, paths in (("train_list", TRAIN), ("test_list", TEST)):
        if request.param == "txt":
            (lists / f"{name}.txt").write_text("\n".join(paths) + "\n\n")
        else:
            write_mat(lists / f"{name}.mat", paths)
    return tmp_path


def test_reads_the_official_lists(root: Path) -> None:
    manifest = load_data("dogs", root)
    assert manifest.images.to_pylist() == TRAIN + TEST
    assert manifest.path(1) == root / dogs.FOLDER / "Images" / TRAIN[1]
    assert manifest.taxonomy.classes == (("Shih-Tzu", "hound", "terrier"), ("Shih-Tzu", "bloodhound", "Airedale"))
    assert manifest.targets.tolist() == [[2, 2], [0, 0], [1, 1], [2, 2]]
    assert (manifest.rows("train").tolist(), manifest.rows("test").tolist()) == ([0, 1], [2, 3])
    assert load_data("dogs-suffix", root / dogs.FOLDER).taxonomy.classes[0] == ("Airedale", "Tzu", "bloodhound")


def test_the_two_groupings_give_52_and_78() -> None:
    table = coarse_table("dogs")
    assert len(table) == 120
    groups = Counter(table.values())
    assert len(groups) == 52 and len({suffix(name) for name in table}) == 78
    assert groups["terrier"] == 23 and groups["hound"] == 14 and groups["spaniel"] == 9
    moved = [name for name, group in table.items() if groups[group] > 1 and group != suffix(name)]
    assert {"Airedale", "bloodhound", "Pembroke", "dhole"} <= set(moved)


def test_the_official_folders(data_folder: Path, tmp_path: Path) -> None:
    source = data_folder / "lists" / "hawkeye" / "dog"
    if not source.is_dir():
        pytest.skip("LINNET_DATA is set, and holds no list of Stanford Dogs under lists/")
    for split, name in (("train", "train_list"), ("val", "test_list")):
        listed = [line.split(" ", 1) for line in (source / f"{split}.txt").read_text().splitlines()]
        (tmp_path / f"{name}.txt").write_text("\n".join(path for _, path in listed))
    manifest = dogs.load(tmp_path)
    assert (len(manifest.rows("train")), len(manifest.rows("test"))) == (12_000, 8_580)
    assert (manifest.taxonomy.count("coarse"), manifest.taxonomy.count("fine")) == (52, 120)
    assert dogs.load(tmp_path, coarse="suffix").taxonomy.count("coarse") == 78
    numbers = [int(label) for label, _ in listed]  # the official labels are in the order of the folders
    assert manifest.labels("fine")[manifest.rows("test")].tolist() == numbers


@pytest.mark.parametrize(
    ("content", "reason"), [(b"", ""), (b"MATLAB 5.0 MAT-file", ""), (None, "it holds no file_list")]
)
def test_a_damaged_list(tmp_path: Path, content: bytes | None, reason: str) -> None:
    write_mat(tmp_path / "test_list.mat", TEST)
    path = tmp_path / "train_list.mat"
    if content is None:
        savemat(path, {"labels": np.ones(3)})
    else:
        path.write_bytes(content)
    with pytest.raises(DataError, match=rf"train_list.mat: not the official list \({reason}"):
        dogs.load(tmp_path)


@pytest.mark.parametrize(
    ("train", "error", "message"),
    [
        (["Airedale/1.jpg"], DataError, "train_list.txt, row 1: 'Airedale/1.jpg'"),
        (["n02096051-Airedail/1.jpg"], DataError, "'Airedail'; did you mean 'Airedale'"),
        ([*TRAIN, TRAIN[0]], ManifestError, r"train_list.txt, row 1; train_list.txt, row 3"),
        (["n02096051-Airedale/../x.jpg"], DataError, "outside a breed's folder"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, train: list[str], error: type[Exception], message: str) -> None:
    (tmp_path / "train_list.txt").write_text("\n".join(train))
    (tmp_path / "test_list.txt").write_text(TEST[0])
    with pytest.raises(error, match=message):
        dogs.load(tmp_path)


def test_an_absent_set_says_what_where_and_how(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"'train_list.mat', 'test_list.mat' are not in .*{dogs.URL}.*LINNET_DATA"):
        dogs.load(tmp_path)
