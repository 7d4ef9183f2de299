"""`instance` and `coins` against paper 001."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from linnet.errors import RecipeError, SupervisionError
from linnet.methods import check_supervision, method_class
from linnet.methods.base import Need
from tests.methods.check import build, check_method, make_batch, make_task
from tests.reference.instance import instance_loss


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"scope": "all", "cosine": "none"},
        {"cosine": "instance", "lambda": 1.0},
        {"cosine": "both"},
        {"scope": "all", "sample": 5},
    ],
)
def test_coins(options: dict[str, object], tmp_path: Path) -> None:
    """The battery, for each form of the instance term."""
    check_method("coins", tmp_path, options, export=not options)


def test_instance(tmp_path: Path) -> None:
    """The battery."""
    check_method("instance", tmp_path, {"head_lr": 10.0})


@pytest.mark.parametrize("scope", ["coarse", "all"])
def test_coins_is_equation_4_and_5(scope: str) -> None:
    """Both terms, and lambda between them."""
    method, batch = build("coins", options={"scope": scope, "lambda": 0.3, "cosine": "none"}), make_batch(10)
    (terms,) = method.losses(batch)
    method.train()
    embedding = method.backbone(batch.images)
    coarse = F.cross_entropy(embedding @ method.coarse_head.weight.T, batch.targets[:, 0])
    groups = make_task().coarse_of_instance * (scope == "coarse")
    weight = method.instance_head.weight[method.instance_head.layout.position]
    torch.testing.assert_close(terms["coarse"].value, coarse)
    torch.testing.assert_close(
        terms["instance"].value, instance_loss(embedding, batch.index, weight, groups), rtol=1e-4, atol=1e-4
    )
    assert (terms["coarse"].weight, terms["instance"].weight) == (1.0, 0.3)


def test_the_bundle_leaves_the_instance_head_out() -> None:
    """N rows of D numbers are no part of prediction."""
    assert not any(name.startswith("instance_head") for name in build("coins").bundle_state())


def test_labels_that_do_not_allow_a_method() -> None:
    """The error says what is missing and what would work."""
    with pytest.raises(SupervisionError, match=r"fine label for every training image.*photos.csv.*instance, coins"):
        check_supervision("fine", {Need.COARSE}, "photos.csv")
    with pytest.raises(SupervisionError, match=r"coarse label.*allow: instance$"):
        check_supervision("coins", set(), "photos.csv")


def test_an_unknown_method_names_the_nearest() -> None:
    """One clear error."""
    with pytest.raises(RecipeError, match="did you mean 'coins'"):
        method_class("coin")
