"""Taxonomy: operations against the literal reference on random trees, every source, every error a user can "
"cause."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linnet.errors import ManifestError, TaxonomyError
from linnet.hierarchy import suffix
from linnet.taxonomy import Taxonomy
from tests.reference import taxonomy as reference

BIRDS = Taxonomy.from_columns(
    ("order", "family", "species"),
    [
        ("songbird", "warbler", "Cape May"),
        ("songbird", "warbler", "Palm"),
        ("songbird", "finch", "Gold"),
        ("raptor", "owl", ""),
        ("raptor", "", ""),
        ("penguin", "", ""),
    ],
)


@st.composite
def trees(draw: st.DrawFn) -> Taxonomy:
    """One to four levels; classes without children and levels without classes come up too."""
    sizes = [draw(st.integers(1, 4))]
    parents: list[tuple[int, ...]] = [()]
    for _ in range(draw(st.integers(0, 3))):
        size = draw(st.integers(0, 6)) if sizes[-1] else 0
        parents.append(tuple(draw(st.integers(0, sizes[-1] - 1)) for _ in range(size)))
        sizes.append(size)
    # A name may come again at another level, not in its own.
    classes = [draw(st.permutations([f"c{number}" for number in range(size)])) for size in sizes]
    levels = tuple(f"level{number}" for number in range(len(sizes)))
    return Taxonomy(levels, tuple(tuple(names) for names in classes), tuple(parents))


def shuffled(tree: Taxonomy, seed: int) -> Taxonomy:
    """The same hierarchy with its classes listed in another order."""
    orders = [
        random.Random(seed + level).sample(range(len(names)), len(names)) for level, names in enumerate(tree.classes)
    ]
    parents = [
        tuple(orders[level - 1].index(tree.parents[level][old]) for old in order) if level else ()
        for level, order in enumerate(orders)
    ]
    classes = tuple(tuple(names[old] for old in order) for names, order in zip(tree.classes, orders, strict=True))
    return Taxonomy(tree.levels, classes, tuple(parents))


def rows_of(tree: Taxonomy) -> list[tuple[str, ...]]:
    return [path + ("",) * (len(tree.levels) - len(path)) for path in sorted(reference.paths(tree))]


@given(trees())
def test_operations_match_the_reference(tree: Taxonomy) -> None:
    assert list(tree.leaves) == reference.leaves(tree)
    for fine, names in enumerate(tree.classes):
        numbers = range(len(names))
        assert tree.distance(fine).tolist() == [
            [reference.distance(tree, fine, a, b) for b in numbers] for a in numbers
        ]
        for coarse in range(fine + 1):
            above = [reference.ancestor(tree, fine, number, coarse) for number in numbers]
            assert tree.ancestor(fine, coarse).tolist() == above
            below = [reference.descendants(tree, coarse, c, fine) for c in range(tree.count(coarse))]
            assert [tree.candidates(c, coarse, fine).tolist() for c in range(tree.count(coarse))] == below
            member = tree.membership(coarse, fine)
            assert member.shape == (tree.count(coarse), len(names))
            assert [np.flatnonzero(row).tolist() for row in member] == below
            hot = tree.multi_hot(fine, coarse)
            assert [np.flatnonzero(row).tolist() for row in hot] == [below[c] for c in above]


@given(trees(), st.integers(0, 100))
def test_fingerprint_knows_names_and_not_their_order(tree: Taxonomy, seed: int) -> None:
    other = shuffled(tree, seed)
    assert reference.paths(other) == reference.paths(tree)
    assert other.fingerprint == tree.fingerprint


@given(trees(), trees())
def test_fingerprint_tells_hierarchies_apart(one: Taxonomy, other: Taxonomy) -> None:
    same = one.levels == other.levels and reference.paths(one) == reference.paths(other)
    assert (one.fingerprint == other.fingerprint) == same


@given(trees())
def test_json_round_trip_keeps_the_order(tree: Taxonomy) -> None:
    assert Taxonomy.from_json(json.loads(json.dumps(tree.to_json()))) == tree


@given(trees(), st.randoms())
def test_columns_round_trip_in_any_row_order(tree: Taxonomy, shuffle: random.Random) -> None:
    rows = rows_of(tree)
    shuffle.shuffle(rows)
    found = Taxonomy.from_columns(tree.levels, rows)
    assert found.fingerprint == tree.fingerprint
    assert all(list(names) == sorted(names) for names in found.classes)


@given(trees())
def test_pairs_round_trip(tree: Taxonomy) -> None:
    pairs = [("/".join(path), "/".join(path[:-1])) for path in reference.paths(tree)]
    depth = max(len(path) for path in reference.paths(tree))
    found = Taxonomy.from_table(pairs)
    named = {tuple("/".join(path[: n + 1]) for n in range(len(path))) for path in reference.paths(tree)}
    assert reference.paths(found) == named
    assert len(found.levels) == depth


@given(trees())
def test_place_implies_ancestors(tree: Taxonomy) -> None:
    for level, names in enumerate(tree.classes):
        for number, name in enumerate(names):
            labels = tuple(name if at == level else "" for at in range(len(tree.levels)))
            expected = [reference.ancestor(tree, level, number, at) if at <= level else -1 for at in range(len(labels))]
            assert tree.place([labels], str).tolist() == [expected]


def test_levels_by_name_and_number() -> None:
    assert [BIRDS.level(name) for name in ("order", "family", "species", 0, -1)] == [0, 1, 2, 0, 2]
    assert [BIRDS.count(level) for level in BIRDS.levels] == [3, 3, 3]
    assert BIRDS.index("species", "Palm") == BIRDS.classes[2].index("Palm")
    with pytest.raises(TaxonomyError, match="no level 'familly'; did you mean 'family'"):
        BIRDS.level("familly")
    with pytest.raises(TaxonomyError, match="no level 3; there are 3: order, family, species"):
        BIRDS.level(3)
    with pytest.raises(TaxonomyError, match="no class 'Plam' at level 'species'; did you mean 'Palm'"):
        BIRDS.index("species", "Plam")
    with pytest.raises(TaxonomyError, match="'species' is finer than 'order'"):
        BIRDS.ancestor("order", "species")
    with pytest.raises(TaxonomyError, match="no class number 3 at level 'order'"):
        BIRDS.candidates(3)


def test_unequal_depth() -> None:
    assert BIRDS.classes == (
        ("penguin", "raptor", "songbird"),
        ("finch", "owl", "warbler"),
        ("Cape May", "Gold", "Palm"),
    )
    assert BIRDS.leaves == ((0, 0), (1, 1), (2, 0), (2, 1), (2, 2))
    assert BIRDS.candidates(0).tolist() == []
    assert BIRDS.distance()[0].tolist() == [0, 2, 1]
    assert BIRDS.distance("order").tolist() == [[0, 1, 1], [1, 0, 1], [1, 1, 0]]


def test_multi_hot_of_the_coarsest_level_is_all() -> None:
    assert BIRDS.multi_hot("order").all()
    assert BIRDS.multi_hot().sum(axis=1).tolist() == [2, 1, 2]


def test_blanks_are_filled_from_other_rows() -> None:
    tree = Taxonomy.from_columns(("a", "b", "c"), [("A", "", "x"), ("", "M", "x"), ("", "", "x"), (None, None, None)])
    assert reference.paths(tree) == {("A",), ("A", "M"), ("A", "M", "x")}


def test_two_parents_names_both_rows() -> None:
    rows = [("dog", "husky"), ("cat", "siam"), ("toy", "husky"), ("toy", "husky")]
    with pytest.raises(TaxonomyError) as error:
        Taxonomy.from_columns(("coarse", "fine"), rows, source="photos")
    assert "fine 'husky' is under coarse 'dog' (photos, row 1) and under 'toy' (photos, row 3)" in str(error.value)
    assert "rename them or set qualify=True" in str(error.value)
    with pytest.raises(TaxonomyError, match=r"b 'M' is under a 'A' \(rows, row 1\) and under 'B' \(rows, row 2\)"):
        Taxonomy.from_columns(("a", "b", "c"), [("A", "", "x"), ("B", "M", ""), ("", "M", "x")])


def test_qualify_puts_the_parent_before_the_name() -> None:
    rows = [("dog", "other"), ("cat", "other"), ("cat", "siam"), ("", "siam"), ("", ""), ("cow", "")]
    tree = Taxonomy.from_columns(("coarse", "fine"), rows, qualify=True)
    assert tree.classes == (("cat", "cow", "dog"), ("cat/other", "cat/siam", "dog/other"))
    assert tree.parents == ((), (0, 0, 2))
    with pytest.raises(TaxonomyError, match=r"fine 'other' may be 'cat/other', 'dog/other' \(rows, row 7\)"):
        Taxonomy.from_columns(("coarse", "fine"), [*rows, ("", "other")], qualify=True)
    with pytest.raises(TaxonomyError, match=r"fine 'lynx' has no coarse \(rows, row 7\)"):
        Taxonomy.from_columns(("coarse", "fine"), [*rows, ("", "lynx")], qualify=True)
    skipping = Taxonomy.from_columns(("coarse", "fine"), [*rows, ("", "lynx")], qualify=True, allow_skips=True)
    assert "lynx/lynx" in skipping.classes[1]


def test_skipped_level() -> None:
    rows = [("bird", "warbler", "Palm"), ("bird", "", "Gold")]
    with pytest.raises(TaxonomyError, match=r"c 'Gold' has no b \(rows, row 2\)") as error:
        Taxonomy.from_columns(("a", "b", "c"), rows)
    assert "allow_skips=True" in str(error.value)
    tree = Taxonomy.from_columns(("a", "b", "c"), rows, allow_skips=True)
    assert reference.paths(tree) >= {("bird", "Gold", "Gold"), ("bird", "warbler", "Palm")}
    assert Taxonomy.from_columns(("a", "b"), [("", "x")], allow_skips=True).classes == (("x",), ("x",))


def test_lookalike_names_are_one_class_typed_twice() -> None:
    with pytest.raises(TaxonomyError, match=r"look the same.*\n.*'Caf\\xe9' \(rows, row 1\)"):
        Taxonomy.from_columns(("class",), [("Caf\u00e9",), ("Cafe\u0301",)])
    with pytest.raises(TaxonomyError, match="look the same"):
        Taxonomy.from_columns(("class",), [("cape may",), ("cape  may",)])
    assert Taxonomy.from_columns(("class",), [("a",), ("A",), (" a ",)]).classes == (("A", "a"),)


def test_row_of_another_length() -> None:
    with pytest.raises(TaxonomyError, match="rows, row 2: 1 labels for 2 levels"):
        Taxonomy.from_columns(("a", "b"), [("x", "y"), ("x",)])


def test_table_file(tmp_path: Path) -> None:
    table = tmp_path / "tree.csv"
    table.write_text("child,parent\nhusky,dog\nsiam,cat\ndog,animal\ncat,animal\nanimal,\nrock,\n")
    tree = Taxonomy.from_table(table)
    assert tree.levels == ("level1", "level2", "level3")
    assert tree.classes == (("animal", "rock"), ("cat", "dog"), ("husky", "siam"))
    assert Taxonomy.from_table(table, levels=("a", "b", "c")).levels == ("a", "b", "c")
    with pytest.raises(TaxonomyError, match="3 levels deep, and 2 levels are named"):
        Taxonomy.from_table(table, levels=("a", "b"))
    table.write_text("kid,parent\na,b\n")
    with pytest.raises(ManifestError, match="no column 'child'; the columns are kid, parent"):
        Taxonomy.from_table(table)


def test_table_errors_name_the_lines(tmp_path: Path) -> None:
    table = tmp_path / "tree.csv"
    table.write_text("child,parent\nhusky,dog\n\nhusky,toy\n")
    with pytest.raises(TaxonomyError) as error:
        Taxonomy.from_table(table)
    assert f"'husky' is under 'dog' ({table}, line 2) and under 'toy' ({table}, line 4)" in str(error.value)
    with pytest.raises(TaxonomyError, match=r"'husky' is under 'dog' \(row 1\) and without a parent \(row 2\)"):
        Taxonomy.from_table([("husky", "dog"), ("husky", "")])
    with pytest.raises(TaxonomyError, match="row 1: the child is blank"):
        Taxonomy.from_table([("", "dog")])
    with pytest.raises(TaxonomyError) as cycle:
        Taxonomy.from_table([("z", "a"), ("a", "b"), ("b", "c"), ("c", "a")])
    assert "'a' is under 'b' (row 2)\n  'b' is under 'c' (row 3)\n  'c' is under 'a' (row 4)" in str(cycle.value)
    with pytest.raises(TaxonomyError, match="circle"):
        Taxonomy.from_table([("Bobolink", "Bobolink")])


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("Sooty_Albatross", "Albatross"),
        ("001.Black_footed_Albatross", "Albatross"),
        ("013.Bobolink", "Bobolink"),
        ("Cape May Warbler", "Warbler"),
        ("Chuck-will-Widow", "Widow"),
        ("Boeing 737-400", "400"),
        ("Bobolink", "Bobolink"),
        ("_-_", ""),
    ],
)
def test_suffix(name: str, last: str) -> None:
    assert suffix(name) == last


def test_from_suffix() -> None:
    tree = Taxonomy.from_suffix(["002.Laysan_Albatross", "013.Bobolink", "001.Black_footed_Albatross"])
    assert tree.classes[0] == ("Albatross", "Bobolink")
    assert tree.classes[1][tree.candidates(0)[0]] == "001.Black_footed_Albatross"
    mended = Taxonomy.from_suffix(["Green_Towhee", "Green_Tern"], exceptions={"Green_Tern": "Towhee"})
    assert mended.classes[0] == ("Towhee",)
    with pytest.raises(TaxonomyError, match="'a' is given twice, as name 1 and 3"):
        Taxonomy.from_suffix(["a", "b", "a"])
    with pytest.raises(TaxonomyError, match=r"'--' \(name 1\) has no word"):
        Taxonomy.from_suffix(["--"])
    with pytest.raises(TaxonomyError, match="an exception for 'Tern', which is no class"):
        Taxonomy.from_suffix(["Gull"], exceptions={"Tern": "Gull"})


def test_suffix_groups_of_real_birds(data_folder: Path) -> None:
    lines = (data_folder / "CUB_200_2011" / "classes.txt").read_text().splitlines()
    tree = Taxonomy.from_suffix([line.split()[1] for line in lines])
    assert (tree.count("coarse"), tree.count("fine")) == (48, 100)
    sparrows = tree.candidates(tree.index("coarse", "Sparrow"))
    assert all(tree.classes[1][number].endswith("_Sparrow") for number in sparrows)


def test_from_folders(tmp_path: Path) -> None:
    for name in ("train/dog/husky/1.jpg", "val/dog/corgi/1.PNG", "val/cat/2.jpeg", "val/cat/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert Taxonomy.from_folders(tmp_path).classes == (("cat", "dog"), ("corgi", "husky"))
    assert Taxonomy.from_folders(tmp_path, levels=("kind", "breed")).levels == ("kind", "breed")


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((("a", "b"), (("x",),), ((),)), "2 levels, 1 lists of classes"),
        (((), (), ()), "at least one level"),
        ((("a", "a"), ((), ()), ((), ())), "level 'a' is there twice"),
        ((("a",), (("x", "x"),), ((),)), "a class 'x' is there twice"),
        ((("a",), ((" x",),), ((),)), "without spaces at its ends"),
        ((("a",), (("",),), ((),)), "not blank"),
        ((("a",), (("x\ny",),), ((),)), "control characters"),
        ((("a", "b"), (("x",), ("y",)), ((), ())), "'b' has 1 classes and 0 parents"),
        ((("a", "b"), (("x",), ("y",)), ((), (1,))), "parents must be numbers from 0 to 0:\n  'y' -> 1"),
    ],
)
def test_parts_that_make_no_hierarchy(parts: tuple[tuple[object, ...], ...], message: str) -> None:
    with pytest.raises(TaxonomyError, match=message):
        Taxonomy(*parts)  # type: ignore[arg-type]


@pytest.mark.parametrize("content", [{}, [], None, {"levels": ["a"], "classes": [[1]], "parents": [[]]}])
def test_json_that_is_no_taxonomy(content: object) -> None:
    with pytest.raises(TaxonomyError, match=r"bundle\.json: not a taxonomy"):
        Taxonomy.from_json(content, "bundle.json")
