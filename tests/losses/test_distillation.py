"""Soft targets against the definition."""

from __future__ import annotations

import pytest
import torch

from linnet.losses.distillation import soft_target_loss
from linnet.randomness import seeded
from tests.reference.distillation import soft_targets


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_against_the_definition(temperature: float) -> None:
    """Logits and log-probabilities alike."""
    with seeded(0, "soft"):
        logits, teacher = torch.randn(2, 5, 7) * 3
    expected = soft_targets(logits, teacher, temperature)
    for given in (teacher, teacher.log_softmax(1)):
        assert float(soft_target_loss(logits, given, temperature)) == pytest.approx(expected, rel=1e-5)
    assert float(soft_target_loss(teacher, teacher, temperature)) == pytest.approx(0, abs=1e-6)


def test_the_gradient_hardly_depends_on_a_high_temperature() -> None:
    """And none reaches the teacher; half-precision logits are summed in float32."""
    with seeded(0, "soft"):
        logits, teacher = torch.randn(2, 5, 7, requires_grad=True).unbind()
    found = [torch.autograd.grad(soft_target_loss(logits, teacher, t), logits, retain_graph=True)[0] for t in (20, 40)]
    torch.testing.assert_close(found[0], found[1], rtol=0.2, atol=2e-3)
    (none,) = torch.autograd.grad(soft_target_loss(logits, teacher, 1.0), teacher, allow_unused=True)
    assert none is None
    assert soft_target_loss(logits.bfloat16(), teacher.bfloat16(), 4.0).dtype == torch.float32
