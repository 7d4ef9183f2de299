"""Description vectors reach the task: own rows, means of children, and what a table may lack."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from linnet.attributes import Attributes
from linnet.errors import SupervisionError
from linnet.manifest import Manifest, read_manifest
from linnet.methods import METHODS
from linnet.methods.base import Need
from linnet.methods.supervised import Coarse
from linnet.training.data import TrainingData, available, prepare
from linnet.training.descriptions import class_attributes, undescribed
from tests.training.tiny import tiny_manifest, tiny_recipe

TREE = {"a": ["a1", "a2", "a3"], "b": ["b1"], "c": ["c", "c2"]}


def manifest(folder: Path, table: dict[str, list[float]] | None) -> Manifest:
    """One image of each class of TREE; 'c' is the name of a coarse class and of one of its children."""
    path = folder / "t.csv"
    names = [(coarse, fine) for coarse, children in TREE.items() for fine in children]
    rows = "".join(f"{number}.jpg,{coarse},{fine}\n" for number, (coarse, fine) in enumerate(names))
    path.write_text("image,coarse,fine\n" + rows)
    found = read_manifest(path)
    if table is None:
        return found
    values = np.array(list(table.values()), dtype=np.float32)
    return replace(found, attributes=Attributes(tuple(table), tuple("xy"), values))


FULL = {"a1": [0.0, 3], "a2": [1, 3], "a3": [5, 3], "b1": [7, 7], "c": [2, 0], "c2": [4, 0]}


def test_coarse_vectors_are_the_means_of_their_children(tmp_path: Path) -> None:
    """The row 'c' is the fine class's: the coarse class of that name has the mean of c and c2."""
    coarse, fine = class_attributes(manifest(tmp_path, FULL), 0, 1)
    assert coarse.tolist() == [[2, 3], [7, 7], [3, 0]]
    assert fine.tolist() == list(FULL.values())
    assert coarse.dtype == fine.dtype == torch.float32


def test_a_row_of_its_own_comes_first(tmp_path: Path) -> None:
    coarse, _ = class_attributes(manifest(tmp_path, {**FULL, "a": [-1, -1]}), 0, 1)
    assert coarse.tolist() == [[-1, -1], [7, 7], [3, 0]]


@given(st.permutations(range(24)))
def test_names_decide_not_the_tables_order(order: list[int]) -> None:
    base = tiny_manifest()
    assert base.attributes is not None
    table = base.attributes
    other = Attributes(tuple(table.names[i] for i in order), table.columns, table.values[order])
    for ours, theirs in zip(
        class_attributes(base, 0, 1), class_attributes(replace(base, attributes=other), 0, 1), strict=True
    ):
        assert torch.equal(ours, theirs)


def test_one_level_has_one_set_of_vectors(tmp_path: Path) -> None:
    coarse, fine = class_attributes(manifest(tmp_path, FULL), 1, 1)
    assert torch.equal(coarse, fine) and fine.tolist() == list(FULL.values())


def test_a_level_above_the_described_one_has_means(tmp_path: Path) -> None:
    """Only the finest of three levels is described."""
    path = tmp_path / "deep.csv"
    path.write_text("image,order,family,species\n1.jpg,o,f,s1\n2.jpg,o,f,s2\n3.jpg,o,g,s3\n")
    table = Attributes(("s1", "s2", "s3"), ("x",), np.array([[1], [3], [10]], dtype=np.float32))
    deep = replace(read_manifest(path), attributes=table)
    coarse, fine = class_attributes(deep, 0, 1)
    assert fine.tolist() == [[2], [10]]
    assert coarse.tolist() == [[6]]  # the mean over the fine classes of this run, which are the families


def test_without_a_table_there_is_nothing(tmp_path: Path) -> None:
    bare = manifest(tmp_path, None)
    assert [vectors.shape for vectors in class_attributes(bare, 0, 1)] == [(0, 0), (0, 0)]
    assert undescribed(bare, 0, 1) == []


def test_a_missing_class_is_named_and_nothing_is_made_up(tmp_path: Path) -> None:
    lacking = manifest(tmp_path, {"a1": [0, 0], "a_2": [1, 1], "a3": [2, 2], "b1": [3, 3], "c": [4, 4]})
    assert undescribed(lacking, 0, 1) == ["'a2'; did you mean 'a_2'?", "'c2'"]
    assert class_attributes(lacking, 0, 1)[1].shape == (0, 0)


def prepared(source: Manifest, **settings: object) -> TrainingData:
    return prepare(tiny_recipe(method="coarse", select_on="last", validation=0, **settings), source)


def test_the_task_holds_them_and_says_so(tmp_path: Path) -> None:
    data = prepared(manifest(tmp_path, FULL))
    assert Need.ATTRIBUTES in available(data)
    assert data.task().coarse_attributes.tolist() == [[2, 3], [7, 7], [3, 0]]
    assert data.task(instances=False).fine_attributes.shape == (6, 2)


def test_a_restricted_run_needs_only_its_own_classes(tmp_path: Path) -> None:
    table = {name: row for name, row in FULL.items() if name != "c2"}
    assert Need.ATTRIBUTES not in available(prepared(manifest(tmp_path, table)))
    data = prepared(manifest(tmp_path, table), classes=["b", "a"])
    assert Need.ATTRIBUTES in available(data)
    assert data.task().coarse_attributes.tolist() == [[2, 3], [7, 7]]
    assert data.task().fine_attributes.tolist() == [row for name, row in FULL.items() if name[0] in "ab"]


class Describing(Coarse):
    """Stands for any method that needs descriptions."""

    needs = frozenset({Need.COARSE, Need.ATTRIBUTES})


@pytest.mark.parametrize(
    ("table", "told"),
    [(None, "attributes = 'FILE'"), ({"a1": [0.0, 0], "b1": [0, 0]}, "describes 2 classes, and not these:\n  'a2'")],
)
def test_a_method_that_needs_them_hears_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: dict[str, list[float]] | None, told: str
) -> None:
    monkeypatch.setitem(METHODS, "describing", f"{__name__}:Describing")
    with pytest.raises(SupervisionError, match="needs an attribute vector for every class") as raised:
        prepare(tiny_recipe(method="describing", select_on="last", validation=0), manifest(tmp_path, table))
    assert told in str(raised.value)


def ridge(source: Manifest, **settings: object) -> TrainingData:
    return prepare(tiny_recipe(method="ridge", select_on="last", validation=0, **settings), source)


def test_odd_descriptions_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Of siblings alone: b1 may be described as a3. And a method that does not look at them says nothing."""
    odd = {**FULL, "a3": FULL["a1"], "c2": [0.0, 0]}
    for table, told in (
        ({**FULL, "a3": [7.0, 7]}, []),
        (
            odd,
            [
                "which only chance tells apart:\n  'a1' and 'a3'",
                "says nothing of these classes (all numbers are 0):\n  'c2'",
            ],
        ),
        ({name: [row[0], 1.0] for name, row in FULL.items()}, ["has 1 columns of 2 without a difference"]),
    ):
        caplog.clear()
        with caplog.at_level("INFO", logger="linnet"):
            ridge(manifest(tmp_path, table))
        assert len(caplog.records) == len(told) and all(part in caplog.text for part in told)
    caplog.clear()
    prepared(manifest(tmp_path, odd))
    assert not caplog.records


def test_coarse_classes_described_alike_teach_nothing(tmp_path: Path) -> None:
    with pytest.raises(SupervisionError, match="describes all 3 coarse classes alike"):
        ridge(manifest(tmp_path, {name: [1.0, 2.0] for name in FULL}))
