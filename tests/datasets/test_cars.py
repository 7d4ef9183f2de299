"""Stanford Cars: makes from names, and both releases on small stand-ins, good and bad."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from linnet.datasets import cars, load_data
from linnet.errors import DataError, ManifestError

NAMES = ["AM General Hummer SUV 2000", "Acura RL Sedan 2012", "Acura TL Sedan 2012", "smart fortwo Convertible 2012"]
TRAIN = [("00001.jpg", 3), ("00002.jpg", 1)]
TEST = [("00001.jpg", 4), ("00002.jpg", 2), ("00003.jpg", 3)]


def structure(**fields: list[Any]) -> Any:
    """A MATLAB structure array, (1, N), as the annotations have it."""
    rows = np.empty((1, len(next(iter(fields.values())))), dtype=[(name, object) for name in fields])
    for name, values in fields.items():
        for place, value in enumerate(values):
            rows[0, place][name] = value
    return rows


def cells(names: list[str]) -> Any:
    found = np.empty((1, len(names)), dtype=object)
    found[0, :] = names
    return found


def write_later(folder: Path, train: list[tuple[str, int]] = TRAIN, test: list[tuple[str, int]] = TEST) -> Path:
    (folder / "devkit").mkdir(parents=True)
    savemat(folder / "devkit" / "cars_meta.mat", {"class_names": cells(NAMES)})
    for path, rows in (("devkit/cars_train_annos.mat", train), ("cars_test_annos_withlabels.mat", test)):
        files, classes = zip(*rows, strict=True)
        boxes = [30] * len(rows)
        annotations = structure(bbox_x1=boxes, **{"class": list(classes)}, fname=list(files))
        savemat(folder / path, {"annotations": annotations})
    return folder


def write_whole(folder: Path) -> Path:
    folder.mkdir(parents=True)
    rows = [(*row, 1) for row in TEST] + [(*row, 0) for row in TRAIN]  # in whatever order
    paths = [f"car_ims/{number:06}.jpg" for number in range(1, 6)]
    annotations = structure(
        relative_im_path=paths, **{"class": [row[1] for row in rows]}, test=[row[2] for row in rows]
    )
    savemat(folder / "cars_annos.mat", {"annotations": annotations, "class_names": cells(NAMES)})
    return folder


def test_makes() -> None:
    assert [cars.make(name) for name in NAMES] == ["AM General", "Acura", "Acura", "smart"]
    assert cars.make("Aston Martin Virage Coupe 2012") == "Aston Martin"
    assert cars.make("Land Rover LR2 SUV 2012") == "Land Rover"
    assert cars.make("Ram C/V Cargo Van Minivan 2012") == "Ram"


def test_the_later_release(tmp_path: Path) -> None:
    write_later(tmp_path / cars.FOLDER)
    manifest = load_data("cars", tmp_path)
    assert manifest.taxonomy.levels == ("make", "model")
    assert manifest.taxonomy.classes == (("AM General", "Acura", "smart"), tuple(NAMES))
    assert manifest.targets.tolist() == [[1, 2], [0, 0], [2, 3], [1, 1], [1, 2]]
    assert manifest.path(0) == tmp_path / cars.FOLDER / "cars_train" / "00001.jpg"
    assert manifest.images.to_pylist()[2] == "cars_test/00001.jpg"
    assert (manifest.rows("train").tolist(), manifest.rows("test").tolist()) == ([0, 1], [2, 3, 4])
    flat = tmp_path / "flat"
    write_later(flat)
    for name in ("cars_meta.mat", "cars_train_annos.mat"):
        (flat / "devkit" / name).rename(flat / name)
    assert load_data("cars", flat).targets.tolist() == manifest.targets.tolist()


def test_the_older_release_gives_the_same(tmp_path: Path) -> None:
    write_later(tmp_path / "later"), write_whole(tmp_path / "whole")
    later, whole = load_data("cars", tmp_path / "later"), load_data("cars", tmp_path / "whole")
    assert whole.taxonomy == later.taxonomy and whole.targets.tolist() == later.targets.tolist()
    assert whole.images.to_pylist()[0] == "car_ims/000004.jpg"
    assert whole.rows("test").tolist() == later.rows("test").tolist()


def test_one_image_is_a_list_too(tmp_path: Path) -> None:
    write_later(tmp_path, TRAIN[:1], TEST[:1])
    assert load_data("cars", tmp_path).targets.tolist() == [[0, 0], [1, 1]]


@pytest.mark.parametrize(("number", "row"), [(0, 1), (5, 1)])
def test_a_class_that_is_not_named(tmp_path: Path, number: int, row: int) -> None:
    write_later(tmp_path, [("00001.jpg", number), *TRAIN[1:]])
    with pytest.raises(
        DataError, match=rf"only 4 classes are named, not these:[^$]*cars_train_annos.mat, row {row}: class {number}"
    ):
        cars.load(tmp_path)


def test_an_image_that_is_listed_twice(tmp_path: Path) -> None:
    write_later(tmp_path, [*TRAIN, TRAIN[0]])
    with pytest.raises(ManifestError, match=r"cars_train_annos.mat, row 1; cars_train_annos.mat, row 3"):
        cars.load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"MATLAB 5.0 MAT-file", None])
def test_damaged_annotations(tmp_path: Path, content: bytes | None) -> None:
    write_later(tmp_path)
    path = tmp_path / "devkit" / "cars_train_annos.mat"
    if content is None:
        savemat(path, {"annotations": structure(fname=["00001.jpg"], bbox_x1=[3])})
    else:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"cars_train_annos.mat: not the official annotations"):
        cars.load(tmp_path)


def test_an_absent_set_says_what_where_and_how(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"'devkit/cars_meta.mat', .*{cars.URL}.*LINNET_DATA"):
        cars.load(tmp_path)


def test_the_official_images(data_folder: Path, tmp_path: Path) -> None:
    """A copy of the older release's list has numbers for names."""
    source = data_folder / "lists" / "hawkeye" / "car"
    if not source.is_dir():
        pytest.skip("LINNET_DATA is set, and holds no list of Stanford Cars under lists/")
    parts = [[line.split() for line in (source / f"{name}.txt").read_text().splitlines()] for name in ("train", "val")]
    rows = [(path, int(number) + 1, test) for test, part in enumerate(parts) for number, path in part]
    paths, classes, tests = (list(column) for column in zip(*rows, strict=True))
    annotations = structure(relative_im_path=paths, **{"class": classes}, test=tests)
    names = [f"Make{number // 4} Model {number}" for number in range(196)]
    savemat(tmp_path / "cars_annos.mat", {"annotations": annotations, "class_names": cells(names)})
    manifest = load_data("cars", tmp_path)
    assert (len(manifest.rows("train")), len(manifest.rows("test"))) == (8_144, 8_041)
    assert manifest.taxonomy.count("model") == 196
