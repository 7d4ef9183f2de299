"""CUB-200-2011: the table of coarse classes, the reader on a small stand-in, and on the real files."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from linnet.datasets import cub, load_data
from linnet.datasets.coarse import coarse_table
from linnet.errors import DataError, LinnetError, ManifestError
from linnet.hierarchy import suffix
from linnet.images import check_images
from tests.datasets.listed import change, write_lists

CLASSES = {"21": "021.Eastern_Towhee", "147": "147.Least_Tern", "148": "148.Green_tailed_Towhee"}
ROWS = {
    "1": ("021.Eastern_Towhee/a.jpg", "21", "1"),
    "2": ("148.Green_tailed_Towhee/a.jpg", "148", "0"),
    "3": ("147.Least_Tern/a.jpg", "147", "1"),
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_lists(tmp_path / cub.FOLDER, CLASSES, ROWS)
    return tmp_path


def write_attributes(root: Path, lines: list[str], names: list[str] | None = None) -> None:
    path = root / cub.FOLDER / cub.ATTRIBUTES
    path.parent.mkdir()
    path.write_text("\n".join(lines) + "\n")
    if names is not None:
        (root / "attributes.txt").write_text("".join(f"{n} {name}\n" for n, name in enumerate(names, start=1)))


def test_the_table_is_the_suffix_rule_and_gives_70() -> None:
    table = coarse_table("cub")
    assert len(table) == 200
    assert all(coarse == suffix(name) for name, coarse in table.items())
    counts = Counter(table.values())
    assert len(counts) == 70
    assert (counts["Warbler"], counts["Sparrow"], counts["Towhee"], counts["Tern"]) == (25, 21, 2, 7)
    assert sum(count == 1 for count in counts.values()) == 33


@pytest.mark.parametrize("inside", [False, True])
def test_reads_any_subset_of_classes(root: Path, inside: bool) -> None:
    manifest = load_data("cub", root / cub.FOLDER if inside else root)
    assert manifest.taxonomy.levels == ("coarse", "fine")
    assert manifest.taxonomy.classes == (("Tern", "Towhee"), ("Eastern_Towhee", "Least_Tern", "Green_tailed_Towhee"))
    assert manifest.taxonomy.parents[1] == (1, 0, 1)
    assert manifest.targets.tolist() == [[1, 0], [1, 2], [0, 1]]
    assert manifest.path(0) == root / cub.FOLDER / "images" / "021.Eastern_Towhee" / "a.jpg"
    assert manifest.attributes is None


def test_the_published_slip(root: Path) -> None:
    for manifest in (load_data("cub-official", root), load_data("cub", root, official=True)):
        assert manifest.taxonomy.parents[1] == (1, 0, 0)
    with pytest.raises(TypeError):
        load_data("cub", root, oficial=True)


def test_attributes_by_class_id(root: Path) -> None:
    write_attributes(root, [f"{i} {i / 2}" for i in range(1, 201)], ["wing::red", "bill::long"])
    found = cub.load(root).attributes
    assert found is not None and found.columns == ("wing::red", "bill::long")
    np.testing.assert_allclose(found.of(["Least_Tern", "Eastern_Towhee"]), [[1.47, 0.735], [0.21, 0.105]], rtol=1e-6)
    (root / "attributes.txt").unlink()
    unnamed = cub.load(root).attributes
    assert unnamed is not None and unnamed.columns == ("attribute_1", "attribute_2")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["1 2"] * 147, r"class 148 \(Green_tailed_Towhee\) has no line"),
        (["1 2"] * 199 + ["1"], "line 200: 1 numbers, not 2"),
        (["1 two"] * 200, "two"),
        (["1 nan"] * 200, "not finite"),
        ([""], "has no line"),
    ],
)
def test_bad_attributes(root: Path, lines: list[str], message: str) -> None:
    write_attributes(root, lines)
    with pytest.raises(DataError, match=f"not the official attributes[^$]*{message}"):
        cub.load(root)


def test_too_few_names_of_attributes(root: Path) -> None:
    write_attributes(root, ["1 2"] * 200, ["wing::red"])
    with pytest.raises(DataError, match="1 names for 2 attributes"):
        cub.load(root)


def test_a_class_that_is_no_bird_of_theirs(root: Path) -> None:
    change(root / cub.FOLDER / "classes.txt", "147.Least_Tern", "147.Leest_Tern")
    with pytest.raises(DataError, match=r"classes.txt: [^$]*'Leest_Tern'; did you mean 'Least_Tern'"):
        cub.load(root)


def test_an_absent_set_says_what_where_and_how(root: Path, tmp_path: Path) -> None:
    (root / cub.FOLDER / "images.txt").unlink()
    with pytest.raises(DataError) as raised:
        cub.load(root)
    message = str(raised.value)
    assert "'images.txt'" in message and "'classes.txt'" not in message
    for part in (str(tmp_path / cub.FOLDER), cub.URL, "tar xzf", "--root", "LINNET_DATA"):
        assert part in message


def test_the_official_files(data_folder: Path) -> None:
    manifest = load_data("cub", data_folder)
    tree = manifest.taxonomy
    fine = tree.count("fine")
    assert fine in (100, 200), "whole, or the half that some machines have"
    assert (len(manifest), tree.count("coarse")) == {100: (5_902, 48), 200: (11_788, 70)}[fine]
    expected = {100: (2_999, 2_903), 200: (5_994, 5_794)}[fine]
    assert (len(manifest.rows("train")), len(manifest.rows("test"))) == expected
    assert tree.classes[0][tree.ancestor()[tree.index("fine", "Cape_May_Warbler")]] == "Warbler"
    assert manifest.attributes is not None and manifest.attributes.values.shape == (fine, 312)
    assert manifest.attributes.values.min() >= 0 and manifest.attributes.values.max() <= 1
    # The folder of every image is its class, numbered.
    for row in range(0, len(manifest), 97):
        name = tree.classes[1][manifest.targets[row, 1]]
        assert str(manifest.images[row].as_py()).split("/")[0].split(".")[1] == name
        assert manifest.path(row).is_file()


def test_a_listed_image_that_is_not_there(root: Path) -> None:
    manifest = cub.load(root)
    with pytest.raises(LinnetError, match=r"images\.txt line 1") as raised:
        check_images(manifest=manifest, rows=manifest.rows(), progress=False)
    assert not isinstance(raised.value, ManifestError)


def test_cub_hgtl_comes_with_its_descriptions(root: Path) -> None:
    with pytest.raises(DataError, match="the class attributes are not there"):
        load_data("cub-hgtl", root)
    write_attributes(root, [f"{i} {i}" for i in range(1, 201)])
    described = load_data("cub-hgtl", root)
    assert described.attributes is not None and described.fingerprint == load_data("cub", root).fingerprint
