"""What supervision training rows offer, and messages that name the rows that lack it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from linnet.errors import SupervisionError
from linnet.manifest import Manifest, read_manifest
from linnet.methods.base import Need
from linnet.training.data import TrainingData, available, prepare
from tests.training.tiny import tiny_manifest, tiny_recipe


def table(folder: Path, *rows: str) -> Manifest:
    """A manifest of these rows: image, order, family, species."""
    path = folder / "birds.csv"
    numbered = [f"{number}.jpg,{row}" for number, row in enumerate(rows, start=1)]
    path.write_text("\n".join(["image,order,family,species", *numbered]) + "\n")
    return read_manifest(path)


def data(manifest: Manifest, **settings: Any) -> TrainingData:
    """Prepared for a method that needs nothing."""
    return prepare(tiny_recipe(method="instance", select_on="last", validation=0, **settings), manifest)


FULL = ("a,a1,a11", "a,a1,a12", "a,a2,a21", "b,b1,b11")


def test_complete_labels_offer_everything(tmp_path: Path) -> None:
    offered = available(data(table(tmp_path, *FULL)))
    assert offered == {Need.COARSE, Need.SOME_FINE, Need.ALL_FINE, Need.ANY_LEVEL}


def test_blank_fine_labels_offer_some(tmp_path: Path) -> None:
    offered = available(data(table(tmp_path, *FULL, "a,a1,", "b,,")))
    assert offered == {Need.COARSE, Need.SOME_FINE, Need.ANY_LEVEL}


def test_a_blank_coarse_label_is_implied_by_a_finer_one(tmp_path: Path) -> None:
    """'a11' says its family and order."""
    manifest = table(tmp_path, *FULL, ",,a11", ",a2,")
    assert manifest.targets[4].tolist() == manifest.targets[0].tolist()
    assert available(data(manifest)) == {Need.COARSE, Need.SOME_FINE, Need.ANY_LEVEL}


def test_no_fine_label_at_all(tmp_path: Path) -> None:
    """The classes are known from the test rows."""
    path = tmp_path / "t.csv"
    path.write_text("image,split,coarse,fine\n1.jpg,train,a,\n2.jpg,test,a,a1\n")
    assert available(data(read_manifest(path))) == {Need.COARSE, Need.ANY_LEVEL}


def test_an_image_without_a_label_offers_neither_coarse_nor_any(tmp_path: Path) -> None:
    assert available(data(table(tmp_path, *FULL, ",,"))) == {Need.SOME_FINE}


def test_a_label_with_no_fine_class_under_it_is_not_any_level(tmp_path: Path) -> None:
    """Family c1 has no species: no fine class can stand for its images. One level up there is nothing to mend."""
    manifest = table(tmp_path, *FULL, "b,c1,")
    assert Need.ANY_LEVEL not in available(data(manifest))
    assert Need.ANY_LEVEL in available(data(manifest, fine="family"))


@pytest.mark.parametrize("level", ["order", "family"])
def test_one_level_alone_has_no_fine_labels(tmp_path: Path, level: str) -> None:
    offered = available(data(table(tmp_path, *FULL), coarse=level, fine=level))
    assert offered == {Need.COARSE}


@pytest.mark.parametrize("method", ["fine", "min-pool", "any-level", "coarse-constraint"])
def test_one_level_alone_is_told_as_the_reason(tmp_path: Path, method: str) -> None:
    """Every row has that label; that there is no finer one is what a user must hear."""
    recipe = tiny_recipe(method=method, select_on="last", validation=0, coarse="species")
    with pytest.raises(SupervisionError, match="learn from species labels alone: name two levels, coarse and fine"):
        prepare(recipe, table(tmp_path, *FULL))


def test_a_method_for_complete_labels_says_what_part_labels_allow(tmp_path: Path) -> None:
    """Rows without a fine label are named, and the two ways out."""
    manifest = table(tmp_path, *FULL, "a,a1,", "b,,")
    with pytest.raises(SupervisionError) as raised:
        prepare(tiny_recipe(method="fine", select_on="last", validation=0), manifest)
    told = str(raised.value)
    assert "2 of 6 training images have no species label" in told
    assert "birds.csv, line 6 'a1'" in told and "birds.csv, line 7 'b'" in told
    assert "labelled_only = true" in told
    prepare(tiny_recipe(method="fine", select_on="last", validation=0, labelled_only=True), manifest)


def test_branches_without_fine_classes_are_named(tmp_path: Path) -> None:
    """min-pool has no minimum to take there; any-level has no probability to sum."""
    path = tmp_path / "birds.csv"
    path.write_text("image,coarse,fine\n1.jpg,a,a1\n2.jpg,a,\n3.jpg,b,\n4.jpg,c,\n5.jpg,b,\n")
    manifest, settings = read_manifest(path), {"select_on": "last", "validation": 0}
    with pytest.raises(SupervisionError) as raised:
        prepare(tiny_recipe(method="min-pool", **settings), manifest)
    assert "2 have none: 'b' (" in str(raised.value) and "birds.csv, line 4), 'c' (" in str(raised.value)
    with pytest.raises(SupervisionError) as raised:
        prepare(tiny_recipe(method="any-level", **settings), manifest)
    told = str(raised.value)
    assert "3 of 5 training images have no label with fine classes under it" in told
    assert "birds.csv, line 4 'b'" in told and "birds.csv, line 5 'c'" in told
    for method in ("min-pool", "any-level"):
        prepare(tiny_recipe(method=method, **settings, classes=["a"]), manifest)


def test_rows_without_a_coarse_label_are_named(tmp_path: Path) -> None:
    with pytest.raises(SupervisionError, match=r"1 of 5 training images have no order label \(.*line 6\): label them"):
        prepare(tiny_recipe(select_on="last", validation=0), table(tmp_path, *FULL, ",,"))


def test_fine_known_follows_the_rows() -> None:
    """One flag for each row of the split, in its order."""
    targets = tiny_manifest().targets.copy()
    targets[::3, 1] = -1
    prepared = data(replace(tiny_manifest(), targets=targets))
    assert np.array_equal(prepared.fine_known("train"), prepared.rows["train"] % 3 != 0)
