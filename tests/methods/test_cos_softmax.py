"""`cos-softmax`: cross-entropy over scaled cosines with the descriptions."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.methods.check import build, check_method, make_batch
from tests.reference import bigspn as literal

SMALL = {"dim": 16, "hidden": 12}


def test_cos_softmax(tmp_path: Path) -> None:
    """The battery."""
    check_method("cos-softmax", tmp_path, SMALL, export=False)


def test_the_loss_is_softmax_over_cosines() -> None:
    method, batch = build("cos-softmax", options={**SMALL, "scale": 7.0}), make_batch(9)
    (terms,) = method.losses(batch)
    with torch.no_grad():
        embedding = method.encoder(method.backbone.features(batch.images)).double()
        anchors = method.interpreter(method.task.coarse_attributes).double()
    losses = []
    for each, label in zip(embedding, batch.targets[:, 0].tolist(), strict=True):
        powers = [(7 * (1 - literal.distance(each, anchor))).exp() for anchor in anchors]
        losses.append(-(powers[label] / sum(powers)).log())
    torch.testing.assert_close(terms["coarse"].value.detach().double(), torch.stack(losses).mean())
