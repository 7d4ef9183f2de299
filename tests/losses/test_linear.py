"""The linear head and the sum up the hierarchy."""

from __future__ import annotations

import torch

from linnet.losses.hierarchy import coarse_log_probabilities
from linnet.losses.linear import LinearHead
from tests.reference.instance import inner


def test_logits_equal_the_equation() -> None:
    """Plain and cosine logits, entry by entry."""
    for temperature in (None, 0.07):
        head = LinearHead(5, 3, temperature)
        embedding = torch.randn(4, 5)
        logits = head(embedding)
        for row in range(4):
            for column in range(3):
                expected = inner(embedding[row], head.weight[column], temperature)
                torch.testing.assert_close(logits[row, column], expected, rtol=1e-4, atol=1e-5)


def test_coarse_probability_is_the_sum_of_its_children() -> None:
    """And a coarse class without children is impossible."""
    membership = torch.tensor([[1, 1, 0], [0, 0, 1], [0, 0, 0]], dtype=torch.bool)
    fine = torch.log_softmax(torch.randn(6, 3), 1)
    coarse = coarse_log_probabilities(fine, membership).exp()
    torch.testing.assert_close(coarse[:, 0], fine[:, 0].exp() + fine[:, 1].exp())
    torch.testing.assert_close(coarse[:, 1], fine[:, 2].exp())
    assert bool((coarse[:, 2] == 0).all())
