"""`gcnz`: its graph is part of g, and both ways to train it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from linnet.methods.gcnz import Gcnz
from tests.methods.check import build, check_method, make_batch, make_task, total, train
from tests.reference import bigspn as described
from tests.reference import graph as literal

SMALL = {"dim": 16, "hidden": 12, "neighbours": 2}


def graph_of(**options: Any) -> Gcnz:
    method = build("gcnz", options={**SMALL, **options})
    assert isinstance(method, Gcnz)
    return method


@pytest.mark.parametrize("options", [{}, {"hierarchy": True}, {"learns": "regression"}])
def test_gcnz(options: dict[str, Any], tmp_path: Path) -> None:
    """The battery."""
    check_method("gcnz", tmp_path, {**SMALL, **options}, export=not options)


def test_anchors_are_two_graph_convolutions_of_all_classes() -> None:
    """Coarse classes are nodes beside fine ones; with `hierarchy` they are joined to their children."""
    task = make_task()
    attributes = torch.cat([task.coarse_attributes, task.fine_attributes])
    for hierarchy in (False, True):
        method = graph_of(hierarchy=hierarchy)
        # Coarse class 2 has one child, fine class 5, and both the same description.
        tree = {(int(c), 3 + int(f)) for c, f in task.membership.nonzero()} if hierarchy else set()
        alike = literal.joined(attributes, 2, tree | {(2, 8)})
        near = [set(row.nonzero()[:, 0].tolist()) for row in method.interpreter.propagation]
        assert all(one <= other for one, other in zip(alike, near, strict=True))
        expected = attributes.double()
        for layer in method.interpreter.layers:
            weight, bias = layer.get_parameter("weight").double(), layer.get_parameter("bias").double()
            expected = literal.layer(expected, near, weight, bias, 0.2)
        coarse, fine = method.anchors()
        torch.testing.assert_close(torch.cat([coarse, fine]).double(), expected, rtol=1e-5, atol=1e-5)


def test_alignment_is_equation_1() -> None:
    method, batch = graph_of(), make_batch(9)
    (terms,) = method.losses(batch)
    with torch.no_grad():
        embedding = method.encoder(method.backbone.features(batch.images))
        expected = described.semantic_alignment(
            embedding, method.anchors()[0], method.classifier(embedding), batch.targets[:, 0]
        )
    torch.testing.assert_close(total(terms).detach(), expected, rtol=1e-5, atol=1e-5)


def test_regression_learns_a_classifier_and_then_the_graph() -> None:
    """Each stage moves its own parameters; the second brings what the graph gives near the classifier's weights."""
    method, batch = graph_of(learns="regression", graph_epochs=7), make_batch()
    first, second = method.stages()
    assert (first.epochs, second.epochs) == (None, 7)
    assert {id(p) for p in second.groups[0].parameters} == {id(p) for p in method.interpreter.parameters()}
    method.enter(0)
    (terms,) = method.losses(batch)
    logits = method.eval().predict(batch.images).coarse_logits
    assert logits is not None
    weight = method.classifier.weight
    with torch.no_grad():
        embedding = method.encoder(method.backbone.features(batch.images))
    torch.testing.assert_close(logits, F.linear(embedding, weight))
    assert set(terms) == {"coarse"}
    losses = train(method, batch, 60)
    distance = literal.regression(method.anchors()[0].detach(), weight.detach())
    (terms,) = method.losses(batch)
    assert float(total(terms).detach()) == pytest.approx(distance, rel=1e-4)
    assert losses[-1] < 0.5 * losses[60], "the graph's first loss"
    said = method.eval().predict(batch.images).coarse_logits
    assert said is not None and not torch.equal(said, logits)
    assert bool((said.argmax(1) == batch.targets[:, 0]).float().mean() > 0.6)


def test_a_bundle_needs_no_classifier_but_the_graph() -> None:
    names = graph_of(learns="regression").bundle_state()
    assert "interpreter.propagation" in names and not any(name.startswith("classifier") for name in names)
