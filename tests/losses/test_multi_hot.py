"""The coarse term of paper 003 against its formula."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from linnet.losses.multi_hot import multi_hot_cross_entropy
from linnet.randomness import seeded
from tests.reference.class_maps import multi_hot_loss


@pytest.mark.parametrize("probabilities", ["sigmoid", "softmax"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@given(seed=st.integers(0, 99), scale=st.floats(0.1, 5))
def test_it_is_the_formula(probabilities: str, reduction: str, seed: int, scale: float) -> None:
    with seeded(seed, "logits"):
        logits = torch.randn(3, 5, dtype=torch.float64) * scale
        multi_hot = torch.rand(3, 5) < 0.5
    got = multi_hot_cross_entropy(logits, multi_hot, probabilities, reduction)  # type: ignore[arg-type]
    torch.testing.assert_close(got, multi_hot_loss(logits, multi_hot, probabilities, reduction))


@pytest.mark.parametrize("probabilities", ["sigmoid", "softmax"])
def test_gradients_in_double_precision(probabilities: str) -> None:
    multi_hot = torch.tensor([[1, 1, 0, 0], [0, 0, 0, 1]], dtype=torch.bool)
    logits = torch.randn(2, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda z: multi_hot_cross_entropy(z, multi_hot, probabilities),  # type: ignore[arg-type]
        logits,
    )


@pytest.mark.parametrize("probabilities", ["sigmoid", "softmax"])
def test_a_sure_and_wrong_net_has_a_finite_loss_that_still_pulls(probabilities: str) -> None:
    logits = torch.tensor([[80.0, 0.0, -80.0]], requires_grad=True)
    loss = multi_hot_cross_entropy(
        logits,
        torch.tensor([[False, True, True]]),
        probabilities,  # type: ignore[arg-type]
        "sum",
    )
    loss.backward()
    assert logits.grad is not None and bool(torch.isfinite(logits.grad).all())
    # sigmoid: 80 + log 2 + 80; softmax: log(1 - p) = -80 + log(1 + e^-80), then 80 and 160.
    assert loss.item() == pytest.approx(160.69 if probabilities == "sigmoid" else 320.0, rel=1e-3)
    assert float(logits.grad[0, 0]) >= 0.99
