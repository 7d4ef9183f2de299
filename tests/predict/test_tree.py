"""Probabilities down the levels: they add up, no child is likelier than its parent, and T = 1 keeps a softmax."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from linnet.explain.scores import Levels
from linnet.methods.base import Prediction
from linnet.predict.tree import Tree
from linnet.taxonomy import Taxonomy

THREE = Taxonomy(
    ("order", "family", "species"),
    (("a", "b"), ("a1", "a2", "b1"), ("s1", "s2", "s3", "s4", "s5")),
    ((), (0, 0, 1), (0, 0, 1, 1, 2)),
)
UNEVEN = Taxonomy(("coarse", "fine"), (("a", "b", "c"), ("a1", "a2", "b1")), ((), (0, 0, 1)))  # c has no fine class


def tree(taxonomy: Taxonomy, coarse: int, fine: int) -> Tree:
    return Tree(Levels(taxonomy, coarse, fine))


logits = st.lists(st.floats(-30, 30), min_size=8, max_size=8)
temperatures = st.lists(st.floats(0.05, 20), min_size=3, max_size=3)


@given(logits, temperatures, st.booleans())
def test_a_parent_is_as_likely_as_its_children_together(numbers: list[float], heat: list[float], own: bool) -> None:
    """Whatever the two classifiers say apart."""
    row = torch.tensor([numbers])
    said = Prediction(torch.zeros(1, 2), row[:, :3] if own else None, row[:, 3:])
    asked = tree(THREE, 1, 2)
    found = asked.probabilities(asked.scores(said), heat)
    assert [each.shape[1] for each in found] == [2, 3, 5]
    for each in found:
        torch.testing.assert_close(each.sum(1), torch.ones(1, dtype=torch.float64))
    for level in (1, 2):
        together = found[level] @ torch.from_numpy(THREE.membership(level - 1, level)).double().T
        torch.testing.assert_close(together, found[level - 1])
        assert bool((found[level] <= found[level - 1][:, asked.parents(level)] + 1e-12).all())


@given(logits)
def test_one_classifier_keeps_its_softmax(numbers: list[float]) -> None:
    fine = torch.tensor([numbers[:5]])
    asked = tree(THREE, 0, 2)
    found = asked.probabilities(asked.scores(Prediction(torch.zeros(1, 2), None, fine)), [1.0, 1.0, 1.0])
    torch.testing.assert_close(found[2], torch.softmax(fine.double(), 1))


def test_each_level_takes_the_classifier_that_was_trained_for_it() -> None:
    """By hand: the coarse head says 3 : 1 : 0, the fine one 1 : 3 under the first and, alone, b1 above all."""
    coarse = torch.tensor([[np.log(3.0), 0.0, -1e9]])
    fine = torch.tensor([[0.0, np.log(3.0), 9.0]])
    asked = tree(UNEVEN, 0, 1)
    top, low = asked.probabilities(asked.scores(Prediction(torch.zeros(1, 2), coarse, fine)), [1.0, 1.0])
    np.testing.assert_allclose(top[0], [0.75, 0.25, 0.0], atol=1e-9)
    np.testing.assert_allclose(low[0], [0.1875, 0.5625, 0.25], atol=1e-9)


def test_a_class_without_finer_ones_keeps_its_share() -> None:
    coarse = torch.tensor([[0.0, 0.0, 0.0]])
    asked = tree(UNEVEN, 0, 1)
    top, low = asked.probabilities(asked.scores(Prediction(torch.zeros(1, 2), coarse, torch.zeros(1, 3))), [1.0, 1.0])
    np.testing.assert_allclose(top[0], [1 / 3] * 3)
    assert float(low.sum()) == float(torch.tensor(2 / 3, dtype=torch.float64))
    # Without a coarse head the fine one rules it out.
    top, low = asked.probabilities(asked.scores(Prediction(torch.zeros(1, 2), None, torch.zeros(1, 3))), [2.0, 1.0])
    assert float(top[0, 2]) == 0.0 and bool(torch.isfinite(low).all())
