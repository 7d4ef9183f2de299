"""What is shown of a bundle's method: levels, classes, members, and maps at the pictures' size."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from linnet.errors import RunError
from linnet.explain.gradcam import grad_cam
from linnet.explain.inputs import Inputs, squares
from linnet.explain.maps import Wanted
from linnet.explain.pictures import View, look
from linnet.images import Preprocessing
from linnet.images.augment import normalise
from linnet.randomness import generator
from linnet.taxonomy import Taxonomy
from linnet.training.bundle import Bundle
from tests.methods.check import build

TAXONOMY = Taxonomy(
    ("kind", "sort"), (("a", "b", "c"), ("a_1", "a_2", "a_3", "b_1", "b_2", "c")), ((), (0, 0, 0, 1, 1, 2))
)
PIXELS = generator(0, "pixels").integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
INPUTS = Inputs(list(PIXELS), ["x", "y", "z"], [{0: "a", 1: "a_2"}, {0: "b"}, {}])


def bundle(method: str, **options: Any) -> Bundle:
    return Bundle(build(method, options=options).eval(), TAXONOMY, 0, 1, Preprocessing(32), {})


def shown(method: str, wanted: Wanted = Wanted(), **options: Any) -> View:  # noqa: B008
    return look("run", bundle(method, **options), INPUTS, wanted, batch_size=2)


def test_the_predicted_class_at_both_levels() -> None:
    view = shown("any-level")
    assert [column.name for column in view.columns] == ["kind class", "sort class"]
    assert view.pixels.shape == (3, 224, 224, 3)
    for column, level in zip(view.columns, (0, 1), strict=True):
        assert column.heat.shape == (3, 224, 224) and column.heat.min() >= 0 and column.heat.max() == 1
        assert column.of == [replace(row[level], right=None) for row in view.answers]
    for row, known in zip(view.answers, ({"kind": "a", "sort": "a 2"}, {"kind": "b"}, {}), strict=True):
        assert [answer.level for answer in row] == ["kind", "sort"]
        for answer in row:
            assert answer.right == (answer.name == known[answer.level] if answer.level in known else None)


def test_the_map_is_of_the_class_that_is_asked_for() -> None:
    view, made = shown("fine", Wanted(name="b 2")), bundle("fine")
    images = normalise(
        torch.from_numpy(squares(INPUTS.images, made.preprocessing)).permute(0, 3, 1, 2), made.preprocessing
    )
    expected = grad_cam(made.method, images, lambda said: said.fine_logits[:, 4])  # type: ignore[index]
    (column,) = view.columns
    assert column.name == "sort class" and {answer.name for answer in column.of if answer} == {"b 2"}
    likely = torch.softmax(made.method.predict(images).fine_logits, 1)[:, 4].tolist()  # type: ignore[arg-type]
    assert [answer.probability for answer in column.of if answer] == pytest.approx(likely)
    small = torch.nn.functional.interpolate(expected[:, None], (224, 224), mode="bicubic", align_corners=False)[:, 0]
    for heat, other in zip(column.heat, small.clamp(min=0).numpy(), strict=True):
        np.testing.assert_allclose(heat, other / max(other.max(), 1e-30), atol=1e-5)


def test_members_are_asked_for_the_class_of_the_ensemble() -> None:
    view = shown("orthogonal-ensemble", members=3)
    assert [column.name for column in view.columns] == ["member 1", "member 2", "member 3"]
    for column in view.columns:
        assert [answer.name for answer in column.of if answer] == [row[1].name for row in view.answers]
    assert view.columns[0].of != view.columns[1].of, "each with its own probability"
    view = shown("orthogonal-ensemble", Wanted("attention"), members=2)
    assert [column.name for column in view.columns] == ["member 1", "member 2"]
    assert view.columns[0].of == [None] * 3


def test_attention_of_methods_without_a_classifier_and_of_class_maps() -> None:
    view = shown("instance", Wanted("attention"))
    assert [column.name for column in view.columns] == ["activation"] and view.answers == [[], [], []]
    with pytest.raises(RunError, match="--kind attention"):
        shown("instance")
    view = shown("min-pool", Wanted("attention"))
    assert [column.name for column in view.columns] == ["coarse class", "fine class"]
    assert [answer.name for answer in view.columns[1].of if answer] == [row[1].name for row in view.answers]


def test_a_level_that_the_method_does_not_name() -> None:
    with pytest.raises(RunError, match="names no sort class; it names classes of: kind"):
        shown("coarse", Wanted(level="sort"))
    assert [column.name for column in shown("coarse").columns] == ["kind class"]


def test_a_map_of_one_place_is_noted() -> None:
    made = bundle("fine")
    plain = made.method.backbone.features
    made.method.backbone.features = lambda images: plain(images).mean((2, 3), keepdim=True)  # type: ignore[method-assign]
    view = look("run", made, INPUTS, Wanted("attention"))
    assert "single place" in view.notes[0]
