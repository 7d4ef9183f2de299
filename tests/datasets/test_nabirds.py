"""NABirds: both readings of its classes, on a small stand-in and on the official trees where they are at hand."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from linnet.datasets import load_data, nabirds
from linnet.datasets.coarse import coarse_table
from linnet.errors import DataError
from tests.datasets.listed import change, write_lists

NODES = {
    "0": "Birds",
    "1": "Owls",
    "2": "Perching Birds",
    "10": "Barn Owl",
    "11": "Shrikes",
    "20": "Loggerhead Shrike",
    "100": "Barn Owl",
    "101": "Loggerhead Shrike (Adult)",
    "102": "Loggerhead Shrike (Immature)",
}
TREE = {"1": "0", "2": "0", "10": "1", "11": "2", "20": "11", "100": "10", "101": "20", "102": "20"}
ROWS = {
    "ab-1": ("0100/a.jpg", "100", "1"),
    "ab-2": ("0102/b.jpg", "102", "0"),
    "ab-3": ("0101/c.jpg", "101", "1"),
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = write_lists(tmp_path / nabirds.FOLDER, NODES, ROWS)
    (folder / "hierarchy.txt").write_text("".join(f"{child} {parent}\n" for child, parent in TREE.items()))
    return tmp_path


def test_the_hierarchy(root: Path) -> None:
    manifest = load_data("nabirds", root)
    assert manifest.taxonomy.levels == ("group", "family", "species", "class")
    assert manifest.taxonomy.classes == (
        ("Owls", "Perching Birds"),
        ("Owls", "Shrikes"),
        ("Barn Owl", "Loggerhead Shrike"),
        ("Barn Owl", "Loggerhead Shrike (Adult)", "Loggerhead Shrike (Immature)"),
    )
    assert manifest.targets.tolist() == [[0, 0, 0, 0], [1, 1, 1, 2], [1, 1, 1, 1]]
    assert manifest.taxonomy.distance().tolist() == [[0, 4, 4], [4, 0, 1], [4, 1, 0]]


def test_coarse_classes_from_names(root: Path) -> None:
    (root / "nabirds" / "hierarchy.txt").unlink()
    tree = load_data("nabirds-suffix", root).taxonomy
    assert tree.levels == ("coarse", "fine")
    assert tree.classes == (("Owl", "Shrike"), tuple(NODES[key] for key in ("100", "101", "102")))
    assert tree.parents[1] == (0, 1, 1)
    change(root / "nabirds" / "classes.txt", "102 Loggerhead", "102 Loggerhaed")
    with pytest.raises(DataError, match=r"classes.txt: [^$]*'Loggerhaed Shrike \(Immature\)'; did you mean"):
        nabirds.load(root, coarse="suffix")


@pytest.mark.parametrize(
    ("old", "new", "steps"), [("10 1\n", "10 100\n", "5 steps"), ("11 2\n", "", "2 steps"), ("100 10\n", "", "0 steps")]
)
def test_a_hierarchy_that_is_not_theirs(root: Path, old: str, new: str, steps: str) -> None:
    change(root / "nabirds" / "hierarchy.txt", old, new)
    with pytest.raises(DataError, match=f"hierarchy.txt: not the official hierarchy[^$]*{steps} to the root"):
        nabirds.load(root)


def test_an_absent_tree_says_where_it_comes_from(root: Path) -> None:
    (root / "nabirds" / "hierarchy.txt").unlink()
    with pytest.raises(DataError, match=f"'hierarchy.txt' are not in .*{nabirds.URL}.*LINNET_DATA"):
        nabirds.load(root)


def test_the_table_is_the_last_word_and_gives_156() -> None:
    table = coarse_table("nabirds")
    assert len(table) == 404
    assert all(coarse == name.split(" ")[-1] for name, coarse in table.items())
    assert len(set(table.values())) == 156


def test_the_official_classes(data_folder: Path, tmp_path: Path) -> None:
    source = data_folder / "lists" / "cvjena_semantic_embeddings" / "NAB-Hierarchy"
    if not source.is_dir():
        pytest.skip("LINNET_DATA is set, and holds no NABirds hierarchy under lists/")
    nodes = dict(line.split(" ", 1) for line in (source / "classes.txt").read_text().splitlines())
    tree = dict(line.split() for line in (source / "hierarchy.txt").read_text().splitlines())
    leaves = [key for key in nodes if key not in tree.values()]
    rows = {f"image-{key}": (f"{key}/a.jpg", key, "1") for key in leaves}
    folder = write_lists(tmp_path / "nabirds", nodes, rows)
    (folder / "hierarchy.txt").write_text((source / "hierarchy.txt").read_text())
    full, named = nabirds.load(folder).taxonomy, nabirds.load(folder, coarse="suffix").taxonomy
    assert [full.count(level) for level in nabirds.LEVELS] == [22, 50, 404, 555]
    assert (named.count("coarse"), named.count("fine")) == (156, 555)
    largest = Counter(named.classes[0][parent] for parent in named.parents[1]).most_common(2)
    assert largest == [("Warbler", 36), ("Sparrow", 26)]
