"""`transfer` against Eq. 1, 2 and 7 of paper 000."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.methods.check import build, check_method, make_batch, total
from tests.reference import bigspn as literal

SMALL = {"dim": 16, "hidden": 12}


def test_transfer(tmp_path: Path) -> None:
    """The battery."""
    check_method("transfer", tmp_path, SMALL)


def test_the_loss_is_equation_1() -> None:
    method, batch = build("transfer", options=SMALL), make_batch(9)
    (terms,) = method.losses(batch)
    with torch.no_grad():
        embedding = method.encoder(method.backbone.features(batch.images))
        anchors = method.interpreter(method.task.coarse_attributes)
        expected = literal.semantic_alignment(embedding, anchors, method.classifier(embedding), batch.targets[:, 0])
    torch.testing.assert_close(total(terms).detach(), expected, rtol=1e-5, atol=1e-5)


def test_a_class_is_the_nearest_description() -> None:
    """Of both levels, by the same encoder; Eq. 7 among the predicted coarse class's candidates."""
    method, batch = build("transfer", options=SMALL).eval(), make_batch(12)
    task = method.task
    with torch.no_grad():
        said = method.predict(batch.images)
        coarse, fine = method.interpreter(task.coarse_attributes), method.interpreter(task.fine_attributes)
    assert said.coarse_logits is not None and said.fine_logits is not None
    named = [literal.nearest(each, coarse, [0, 1, 2]) for each in said.embedding]
    assert said.coarse_logits.argmax(1).tolist() == named
    assert said.fine_logits.argmax(1).tolist() == [literal.nearest(e, fine, list(range(6))) for e in said.embedding]
    among = said.fine_logits.masked_fill(~task.membership[torch.tensor(named)], -torch.inf).argmax(1).tolist()
    expected = [
        literal.nearest(each, fine, literal.candidates(c, task.membership))
        for each, c in zip(said.embedding, named, strict=True)
    ]
    assert among == expected


def test_prediction_needs_no_classifier() -> None:
    assert not any(name.startswith("classifier") for name in build("transfer", options=SMALL).bundle_state())
