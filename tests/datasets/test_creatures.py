from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from linnet.attributes import read_attributes
from linnet.datasets import creatures, drawing, load_data, shapes
from linnet.errors import DataError
from linnet.manifest import Manifest, read_manifest
from linnet.randomness import generator

PAIRS = {"plain": False, "pairs": True}


def pixels_of(manifest: Manifest) -> NDArray[np.uint8]:
    assert manifest.pixels is not None
    return manifest.pixels


def test_the_hierarchy() -> None:
    manifest = creatures.load(train_per_class=3, test_per_class=2)
    tree = manifest.taxonomy
    assert tree.levels == ("coarse", "fine")
    assert tree.classes[0] == ("beetle", "bird", "butterfly", "fish", "fox", "turtle")
    assert tree.membership().sum(axis=1).tolist() == [4] * 6
    for name, parent in zip(tree.classes[1], tree.ancestor(), strict=True):
        assert name.endswith("_" + tree.classes[0][parent])
    assert np.array_equal(tree.ancestor()[manifest.targets[:, 1]], manifest.targets[:, 0])
    for split, count in (("train", 3), ("test", 2)):
        assert np.bincount(manifest.targets[manifest.rows(split), 1]).tolist() == [count] * 24
    assert creatures.load(train_per_class=1, test_per_class=0).split_names == ("train",)


def test_an_image_depends_on_its_seed_class_and_number_alone() -> None:
    few = creatures.load(seed=3, train_per_class=1, test_per_class=1, size=32)
    many = load_data("creatures", seed=3, train_per_class=3, test_per_class=2, size=32)
    at = {name: row for row, name in enumerate(many.images.to_pylist())}
    rows = [at[name] for name in few.images.to_pylist()]
    np.testing.assert_array_equal(pixels_of(few), pixels_of(many)[rows])
    assert len({image.tobytes() for image in pixels_of(many)}) == len(many)
    other = creatures.load(seed=4, train_per_class=1, test_per_class=1, size=32)
    assert (pixels_of(other) != pixels_of(few)).any(axis=(1, 2, 3)).all()


def test_a_creature_looks_the_same_at_every_size() -> None:
    small = drawing.draw_creature("fox", "ring", "dark", "front", generator(0, "a creature"), 32)
    large = drawing.draw_creature("fox", "ring", "dark", "front", generator(0, "a creature"), 96)
    shrunk = np.asarray(Image.fromarray(large).reduce(3))
    assert small.shape == (32, 32, 3) and small.dtype == np.uint8
    assert np.abs(shrunk.astype(int) - small).mean() < 6


def test_siblings_differ_by_their_mark_alone() -> None:
    tree, table = creatures.taxonomy(), creatures.attributes()
    marks = np.array([column.startswith("mark_") for column in table.columns])
    values = table.of(tree.classes[1])
    assert values.min() == 0 and values.max() == 1
    means = []
    for coarse in range(6):
        children = values[tree.candidates(coarse)]
        assert (children[:, ~marks] == children[0, ~marks]).all()
        assert len({tuple(row) for row in children[:, marks]}) == 4
        means.append(children.mean(axis=0))
    coarse_means = np.stack(means)
    # The mean over a coarse class is its body plan, and a mark of no kind: 4 shapes, 2 colours, 2 places.
    np.testing.assert_array_equal(coarse_means[:, marks], [[0.25] * 4 + [0.5] * 4] * 6)
    assert len({tuple(row) for row in coarse_means[:, ~marks]}) == 6


def test_pairs_of_marks_tell_every_mark_from_every_other() -> None:
    """Which is what descriptions of coarse classes need; the images and their fine classes stay the same."""
    tree, table = creatures.taxonomy(pairs=True), creatures.attributes()
    assert tree.classes[1] == creatures.taxonomy().classes[1]
    assert [len(tree.candidates(coarse)) for coarse in range(len(tree.classes[0]))] == [2] * 12
    assert "crossed or barred beetle" in tree.classes[0]
    shapes = [table.columns.index(f"mark_{shape}") for shape in ("dot", "ring", "cross", "bars")]
    values = table.of(tree.classes[1])
    means = np.stack([values[tree.candidates(coarse)].mean(axis=0) for coarse in range(12)])
    assert all((values[tree.candidates(c), :11] == means[c, :11]).all() for c in range(12)), "of one body"
    assert len({tuple(row) for row in means[:, shapes]}) == 6, "every pair of marks"
    few = {name: creatures.load(train_per_class=1, test_per_class=0, pairs=pairs) for name, pairs in PAIRS.items()}
    np.testing.assert_array_equal(pixels_of(few["plain"]), pixels_of(few["pairs"]))
    np.testing.assert_array_equal(few["plain"].targets[:, 1], few["pairs"].targets[:, 1])


def test_the_mark_is_there_and_is_small() -> None:
    """Two marks on the same creature change some pixels where the mark is, and nothing else."""
    for body in ("beetle", "bird", "butterfly", "fish", "fox", "turtle"):
        pair = [drawing.draw_creature(body, mark, "dark", "front", generator(1, body), 48) for mark in ("dot", "ring")]
        changed = (pair[0] != pair[1]).any(axis=2)
        assert 4 <= changed.sum() < 0.06 * changed.size


@pytest.mark.parametrize("place", ["front", "rear"])
def test_the_mark_lies_on_the_body(place: str) -> None:
    """Each corner of each mark lies inside one of the body's own polygons, with some room."""
    for name in ("beetle", "bird", "butterfly", "fish", "fox", "turtle"):
        plan = shapes.body(name)
        plain = [part.points for part in plan.parts if part.role in ("body", "shade")]
        for centre in plan.front if place == "front" else plan.rear:
            for polygons in shapes.MARKS.values():
                corners = np.concatenate(polygons) * drawing.MARK_RADIUS * plan.mark_scale * 0.9 + centre
                on_body = np.any([inside(corners, part) for part in plain], axis=0)
                assert on_body.all(), (name, place)


def inside(points: NDArray[np.float64], polygon: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Even-odd rule, one edge at a time."""
    result = np.zeros(len(points), dtype=bool)
    for (x1, y1), (x2, y2) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        crosses = (y1 > points[:, 1]) != (y2 > points[:, 1])
        with np.errstate(divide="ignore", invalid="ignore"):
            result ^= crosses & (points[:, 0] < x1 + (points[:, 1] - y1) * (x2 - x1) / (y2 - y1))
    return result


def test_the_written_folder_is_the_same_set(tmp_path: Path) -> None:
    drawn = creatures.load(seed=5, size=24, train_per_class=2, test_per_class=1)
    source = creatures.write_folder(tmp_path / "creatures", seed=5, size=24, train_per_class=2, test_per_class=1)
    assert source == tmp_path / "creatures" / "manifest.csv"
    table = tmp_path / "creatures" / "attributes.csv"
    read = read_manifest(source, attributes=table)
    assert read.images.to_pylist() == drawn.images.to_pylist()
    assert read.taxonomy == drawn.taxonomy
    np.testing.assert_array_equal(read.targets, drawn.targets)
    assert read.split_names == drawn.split_names
    np.testing.assert_array_equal(read.split_codes, drawn.split_codes)
    for row in range(len(read)):
        with Image.open(read.path(row)) as image:
            np.testing.assert_array_equal(np.asarray(image), pixels_of(drawn)[row])
    described = read_attributes(table, read.taxonomy)
    assert described.columns == creatures.COLUMNS
    np.testing.assert_array_equal(described.values, creatures.attributes().values)


def test_the_nested_folders_alone_tell_the_same_labels(tmp_path: Path) -> None:
    source = creatures.write_folder(tmp_path / "set", size=16, train_per_class=1, test_per_class=1)
    by_table = read_manifest(source)
    source.unlink()
    by_folder = read_manifest(tmp_path / "set", levels=("coarse", "fine"))
    assert sorted(by_folder.images.to_pylist()) == sorted(by_table.images.to_pylist())
    assert by_folder.taxonomy == by_table.taxonomy


def test_a_written_folder_is_kept_and_another_one_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "set"
    source = creatures.write_folder(folder, size=16, train_per_class=1, test_per_class=0)
    before = source.stat().st_mtime_ns
    assert creatures.write_folder(folder, size=16, train_per_class=1, test_per_class=0) == source
    assert source.stat().st_mtime_ns == before
    with pytest.raises(DataError, match="already holds other files; name a new folder"):
        creatures.write_folder(folder, size=16, train_per_class=2, test_per_class=0)
    monkeypatch.setattr(drawing, "MARK_RADIUS", 0.2)
    with pytest.raises(DataError, match="already holds"):
        creatures.write_folder(folder, size=16, train_per_class=1, test_per_class=0)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_a_folder_that_cannot_be_finished_does_not_appear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(creatures, "write_manifest", fail)
    with pytest.raises(OSError, match="the disk is full"):
        creatures.write_folder(tmp_path / "set", size=16, train_per_class=1, test_per_class=0)
    assert not list(tmp_path.iterdir())


def test_a_size_or_count_that_cannot_be() -> None:
    with pytest.raises(DataError, match=r"size=15.*allowed are size >= 16"):
        creatures.load(size=15)
    with pytest.raises(DataError, match="test_per_class=-1"):
        creatures.load(test_per_class=-1)
