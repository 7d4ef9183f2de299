"""`min-pool` against Eq. 1-7 of paper 002."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from linnet.errors import SupervisionError
from linnet.methods import allowed_methods, check_supervision
from linnet.methods.base import Need
from tests.methods.check import build, check_method, make_batch, total
from tests.reference.class_maps import coarse_maps, min_pool_loss, scores


@pytest.mark.parametrize("options", [{}, {"softmin": 0.5, "lambda": 0.5}, {"cells": 3}, {"relu": True}, {"lambda": 0}])
def test_min_pool(options: dict[str, Any], tmp_path: Path) -> None:
    """The battery, for each form of the maps."""
    check_method("min-pool", tmp_path, options, export=not options)


@pytest.mark.parametrize("cells", [1, 2])
def test_the_loss_is_equation_7(cells: int) -> None:
    """In float64, on a batch with fine labels for a part."""
    method, batch = build("min-pool", options={"lambda": 0.7, "cells": cells}).double(), make_batch(9)
    batch.images = batch.images.double()
    batch.targets[::2, 1] = -1
    (terms,) = method.losses(batch)
    with torch.no_grad():
        features = method.backbone.features(batch.images)
        maps = method.fine_head(features)
        expected = min_pool_loss(maps, method.task.membership, batch.targets[:, 0], batch.targets[:, 1], 0.7)
    torch.testing.assert_close(total(terms).detach(), expected, rtol=1e-9, atol=1e-9)


def test_without_the_coarse_term_it_is_a_plain_classifier() -> None:
    """Rows `baseline` and `oracle`; unlabelled images then give nothing."""
    method, batch = build("min-pool", options={"lambda": 0}), make_batch(8)
    logits = method.fine_head(method.backbone.features(batch.images)).mean(2)
    (terms,) = method.losses(batch)
    assert list(terms) == ["fine"]
    torch.testing.assert_close(terms["fine"].value, F.cross_entropy(logits, batch.targets[:, 1]))
    batch.targets[:, 1] = -1
    (terms,) = method.losses(batch)
    assert float(terms["fine"].value.detach()) == 0.0


def test_maps_stand_for_the_prediction() -> None:
    """The mean of each map is the logit; coarse maps are least over children."""
    method, batch = build("min-pool", options={"cells": 2}).eval(), make_batch(4)
    with torch.no_grad():
        said, (fine, coarse) = method.predict(batch.images), method.class_maps(batch.images)
    assert fine.shape == (4, 6, 2, 2, 2) and coarse.shape == (4, 3, 2, 2, 2)
    assert torch.equal(coarse.flatten(2), coarse_maps(fine.flatten(2), method.task.membership))
    torch.testing.assert_close(said.fine_logits, scores(fine.flatten(2)))
    torch.testing.assert_close(said.coarse_logits, scores(coarse.flatten(2)))


@pytest.mark.parametrize("cells", [1, 3])
def test_attention_is_the_map_of_the_class_that_is_named(cells: int) -> None:
    """For each image by itself, cell by cell, and from 0 to 1 whatever the maps' values."""
    method, batch = build("min-pool", options={"cells": cells}).eval(), make_batch(5)
    with torch.no_grad():
        seen = method.attention(batch.images)
        said, (fine, coarse) = method.predict(batch.images), method.class_maps(batch.images)
    for name, maps, logits in (("coarse class", coarse, said.coarse_logits), ("fine class", fine, said.fine_logits)):
        for image in range(5):
            chosen = maps[image, int(logits[image].argmax())]
            mean = sum(chosen[cell] for cell in range(cells)) / cells
            torch.testing.assert_close(seen[name][image], (mean - mean.min()) / (mean.max() - mean.min()))
    with torch.no_grad():
        method.fine_head.weight.zero_()
        assert all(not bool(each.any()) for each in method.attention(batch.images).values()), "the same everywhere"


def test_labels_that_do_not_allow_it_name_the_methods_that_they_do() -> None:
    """A coarse label for all and a fine one for some."""
    some = {Need.COARSE, Need.SOME_FINE, Need.ANY_LEVEL}
    assert allowed_methods(some) == ["coarse", "instance", "coins", "min-pool", "any-level"]
    assert {"fine", "coarse-constraint"} <= set(allowed_methods({*some, Need.ALL_FINE}))
    with pytest.raises(SupervisionError, match=r"fine labels for some training images.*photos.csv.*coins, any-level"):
        check_supervision("min-pool", {Need.COARSE, Need.ANY_LEVEL}, "photos.csv")
    with pytest.raises(SupervisionError, match=r"coarse label for every.*allow: instance, any-level"):
        check_supervision("min-pool", {Need.SOME_FINE, Need.ANY_LEVEL}, "photos.csv")
