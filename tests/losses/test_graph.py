"""The class graph and its convolutions against a literal transcription."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from linnet.losses.graph import GraphInterpreter, class_graph, weight_regression
from linnet.randomness import seeded
from tests.reference import graph as literal


def some(count: int, width: int, seed: int = 0) -> torch.Tensor:
    with seeded(seed, "graph"):
        return torch.rand(count, width, dtype=torch.float64)


@pytest.mark.parametrize(("neighbours", "edges"), [(0, ()), (2, ()), (3, ((0, 6), (2, 5))), (20, ())])
def test_the_graph_joins_what_is_most_alike(neighbours: int, edges: tuple[tuple[int, int], ...]) -> None:
    """Either way, with itself, row by row to one; with fewer classes than neighbours all are joined."""
    attributes = some(8, 4)
    given = torch.zeros(8, 8, dtype=torch.bool)
    for a, b in edges:
        given[a, b] = True
    found = class_graph(attributes, neighbours, given if edges else None)
    for row, near in zip(found, literal.joined(attributes, neighbours, set(edges)), strict=True):
        assert row.nonzero()[:, 0].tolist() == sorted(near)
        torch.testing.assert_close(row[row > 0], torch.full((len(near),), 1 / len(near)))


def test_equally_near_classes_are_joined_all() -> None:
    """So a class's number decides nothing: a coarse class with one child is described like it."""
    attributes = some(5, 4)[[0, 1, 2, 3, 4, 4, 4]]
    order = torch.tensor([6, 2, 0, 4, 1, 5, 3])
    found, other = class_graph(attributes, 1), class_graph(attributes[order], 1)
    assert torch.equal(found[order][:, order], other)
    assert bool(found[4, 4:].all()) and torch.equal(found[4], found[5]) and torch.equal(found[4], found[6])


def test_blank_descriptions_have_a_graph_too() -> None:
    """As a bundle has them before its state is loaded."""
    assert bool(torch.isfinite(class_graph(torch.zeros(4, 3), 2)).all())


def test_layers_are_graph_convolutions() -> None:
    attributes = some(7, 5)
    with seeded(1, "layers"):
        g = GraphInterpreter(class_graph(attributes, 2), 5, 6, 4).double()
    near = literal.joined(attributes, 2)
    expected = attributes
    for layer in g.layers:
        assert isinstance(layer, nn.Linear)
        expected = literal.layer(expected, near, layer.weight.detach(), layer.bias.detach(), 0.2)
    torch.testing.assert_close(g(attributes).detach(), expected, rtol=1e-6, atol=1e-6)


def test_weights_are_regressed_at_unit_length() -> None:
    """And move the graph alone."""
    found, weight = some(4, 6).requires_grad_(), (some(4, 6, seed=1) - 0.5).requires_grad_()
    loss = weight_regression(found, weight)
    assert float(loss.detach()) == pytest.approx(literal.regression(found.detach(), weight.detach()))
    loss.backward()  # type: ignore[no-untyped-call]
    assert found.grad is not None and weight.grad is None
    assert float(weight_regression(3 * weight.detach(), weight).detach()) == pytest.approx(0, abs=1e-12)
