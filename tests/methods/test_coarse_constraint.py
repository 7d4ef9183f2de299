"""`coarse-constraint` against paper 003, and against `fine` where its second term is off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from tests.methods.check import build, check_method, make_batch, total, train
from tests.reference.class_maps import multi_hot_loss


@pytest.mark.parametrize(
    "options",
    [{}, {"a": 0.5, "b": 2.0, "reduction": "sum"}, {"probabilities": "softmax"}, {"cosine": True, "b": 0.5}],
)
def test_coarse_constraint(options: dict[str, Any], tmp_path: Path) -> None:
    """The battery, for each form of the second term."""
    check_method("coarse-constraint", tmp_path, options, export=not options)


@pytest.mark.parametrize("probabilities", ["sigmoid", "softmax"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_loss_is_the_papers(probabilities: str, reduction: str) -> None:
    """a CE + b BCE over the same logits; m marks the siblings of the label and itself."""
    options = {"a": 0.8, "b": 1.5, "probabilities": probabilities, "reduction": reduction}
    method, batch = build("coarse-constraint", options=options), make_batch(7)
    (terms,) = method.losses(batch)
    logits = (method.backbone(batch.images) @ method.fine_head.weight.T).detach().double()
    siblings = {0: [0, 1, 2], 1: [3, 4], 2: [5]}
    multi_hot = torch.zeros(7, 6, dtype=torch.bool)
    for row, coarse in enumerate(batch.targets[:, 0].tolist()):
        multi_hot[row, siblings[coarse]] = True
    constraint = multi_hot_loss(logits, multi_hot, probabilities, reduction)
    expected = 0.8 * F.cross_entropy(logits, batch.targets[:, 1]) + 1.5 * constraint
    torch.testing.assert_close(total(terms).detach().double(), expected, rtol=1e-5, atol=1e-5)


def test_without_the_constraint_it_is_the_cross_entropy_to_the_bit() -> None:
    """Row `cross-entropy` is method `fine`, and nothing else differs."""
    methods = [build("fine"), build("coarse-constraint", options={"b": 0})]
    losses = [train(method, make_batch(), 3) for method in methods]
    assert losses[0] == losses[1]
    for one, other in zip(*(method.state_dict().values() for method in methods), strict=True):
        assert torch.equal(one, other)
