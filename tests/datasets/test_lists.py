"""The lists that CUB-200-2011 and NABirds share, good and bad."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from linnet.datasets.coarse import grouped
from linnet.datasets.lists import listed_manifest, read_pairs, read_photos
from linnet.errors import DataError, ManifestError
from linnet.manifest import Manifest
from tests.datasets.listed import change, write_lists

CLASSES = {"3": "Song Sparrow", "7": "Barn_Owl", "9": "Snowy_Owl"}
ROWS = {
    "a-1": ("owls/one image.jpg", "7", "1"),
    "a-2": ("owls/2.jpg", "7", "0"),
    "b-1": ("sparrows/3.jpg", "3", "1"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_lists(tmp_path / "birds", CLASSES, ROWS)


def manifest_of(folder: Path) -> Manifest:
    photos = read_photos(folder)
    names = list(photos.names.values())
    taxonomy = grouped(names, {"Barn_Owl": "Owl", "Song Sparrow": "Sparrow"}, "birds")
    return listed_manifest("birds", photos, taxonomy, {key: n for n, key in enumerate(photos.names)})


def test_images_labels_and_splits_by_id(folder: Path) -> None:
    manifest = manifest_of(folder)
    assert manifest.images.to_pylist() == ["owls/one image.jpg", "owls/2.jpg", "sparrows/3.jpg"]
    assert manifest.path(1) == folder / "images" / "owls" / "2.jpg"
    assert manifest.taxonomy.classes == (("Owl", "Sparrow"), ("Song Sparrow", "Barn_Owl")), "Snowy_Owl has no image"
    assert manifest.targets.tolist() == [[0, 1], [0, 1], [1, 0]]
    assert (manifest.rows("train").tolist(), manifest.rows("test").tolist()) == ([0, 2], [1])
    assert manifest.where(2) == "birds, images.txt line 3"


def test_order_blank_lines_and_surplus_do_not_matter(folder: Path) -> None:
    before = manifest_of(folder)
    for name in ("image_class_labels.txt", "train_test_split.txt"):
        lines = (folder / name).read_text().splitlines()
        (folder / name).write_text("\n\n".join(["z-9 7", *reversed(lines)]) + "\n\n")
    assert manifest_of(folder).fingerprint == before.fingerprint


@pytest.mark.parametrize(
    ("file", "old", "new", "parts"),
    [
        ("image_class_labels.txt", "a-2 7\n", "", ("images.txt, line 2", "a-2 is not in image_class_labels.txt")),
        ("train_test_split.txt", "b-1 1\n", "", ("images.txt, line 3", "b-1 is not in train_test_split.txt")),
        ("image_class_labels.txt", "b-1 3", "b-1 4", ("image_class_labels.txt, line 3", "no class '4' in classes")),
        ("train_test_split.txt", "a-1 1", "a-1 2", ("train_test_split.txt, line 1", "'2' is neither 1 (train)")),
        ("images.txt", "a-2 ", "a-1 ", ("images.txt", "line 2: a-1 is there already, on line 1")),
        ("images.txt", "a-2 owls/2.jpg", "a-2", ("images.txt", "line 2: 'a-2' is not two words")),
        ("classes.txt", "\n7 Barn_Owl", "\n3 Barn_Owl", ("classes.txt", "line 2: 3 is there already, on line 1")),
    ],
)
def test_bad_rows_are_named(folder: Path, file: str, old: str, new: str, parts: tuple[str, ...]) -> None:
    change(folder / file, old, new)
    with pytest.raises(DataError) as raised:
        read_photos(folder)
    assert all(part in str(raised.value) for part in parts), str(raised.value)


def test_an_image_listed_twice(folder: Path) -> None:
    change(folder / "images.txt", "owls/2.jpg", "./owls/one image.jpg")
    with pytest.raises(ManifestError, match=r"images.txt line 1; birds, images.txt line 2"):
        manifest_of(folder)


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "No such file"), (b"1 \xff\xfe", "not UTF-8"), (b"\n", "empty")]
)
def test_a_list_that_cannot_be_read(tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / "images.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=f"{re.escape(str(path))}: .*(\n.*)?{reason}"):
        read_pairs(path)


def test_names_that_no_table_has() -> None:
    with pytest.raises(DataError, match=r"'Barn Owl'; did you mean 'Barn_Owl'"):
        grouped(["Barn Owl"], {"Barn_Owl": "Owl"}, "birds")
    with pytest.raises(DataError, match="there twice:\n  'Barn_Owl'"):
        grouped(["Barn_Owl", "Barn_Owl"], {"Barn_Owl": "Owl"}, "birds")
