"""Attention maps and the OR-loss against Eq. 1-5 of paper 004, term by term."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from linnet.losses.orthogonal import attention_map, orthogonal_loss, rescaled, standardised, teacher_attention
from linnet.randomness import seeded
from tests.reference.orthogonal import attention, orthogonal, standard

TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 1e-5, torch.float16: 1e-5}


def draw(dtype: torch.dtype = torch.float64, scale: float = 1.0) -> tuple[Tensor, Tensor]:
    """Rectified features of a student and a teacher, (3, 5, 4, 6)."""
    with seeded(0, "features"):
        student, teacher = (torch.randn(2, 3, 5, 4, 6).relu() * scale).to(dtype)
    return student, teacher


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("scale", [1e-3, 1.0, 100.0])
def test_equations_1_to_5(dtype: torch.dtype, scale: float) -> None:
    """The map, its standard form and the loss; sums are in float32 at least, whatever the features are in."""
    student, teacher = draw(dtype, scale)
    near = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype]}
    maps = attention_map(student)
    assert maps.dtype == torch.promote_types(dtype, torch.float32)
    expected = torch.tensor([attention(image) for image in student], dtype=torch.float64)
    torch.testing.assert_close(maps.double(), expected, rtol=near["rtol"], atol=0)
    expected = torch.tensor([standard(attention(image)) for image in student], dtype=torch.float64)
    torch.testing.assert_close(standardised(maps).double(), expected, rtol=0, atol=100 * near["atol"])
    loss = orthogonal_loss(student, teacher_attention(teacher))
    torch.testing.assert_close(float(loss), orthogonal(student, teacher), rtol=100 * near["rtol"], atol=near["atol"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("value", [0.0, 1e-4, 0.1, 300.0])
def test_constant_maps_give_nothing(dtype: torch.dtype, value: float) -> None:
    """Not NaN, nor rounding blown up to 1: neither in the loss nor in its gradient."""
    with seeded(0, "constant"):
        flat = (torch.rand(2, 7, 1, 1) * value).to(dtype).expand(2, 7, 14, 13).contiguous().requires_grad_()
    student, _ = draw(dtype)
    assert float(standardised(attention_map(flat)).detach().abs().max()) < 0.01
    loss = orthogonal_loss(flat, torch.ones(2, 14, 13))
    loss.backward()  # type: ignore[no-untyped-call]
    assert abs(float(loss.detach())) < 0.01
    assert flat.grad is not None and bool(torch.isfinite(flat.grad).all())
    assert float(orthogonal_loss(student[:2], teacher_attention(flat.detach()[:, :, :4, :6]))) < 0.01


def test_the_gradient_is_that_of_the_equations() -> None:
    """By finite differences, in float64, away from kinks; the importance of channels has its part in it."""
    student, teacher = draw()
    seen = teacher_attention(teacher + 0.1 * student)
    assert torch.autograd.gradcheck(lambda x: orthogonal_loss(x, seen), (student + 0.05).requires_grad_(), atol=1e-6)


def test_several_teachers_count_by_their_mean() -> None:
    """Eq. 6 is linear in the teachers' attention."""
    student, teacher = draw()
    one, other = teacher_attention(teacher), teacher_attention(student.flip(3))
    both = orthogonal_loss(student, (one + other) / 2)
    torch.testing.assert_close(both, (orthogonal_loss(student, one) + orthogonal_loss(student, other)) / 2)


def test_autocast_changes_nothing() -> None:
    """Products in half precision would not reach 1e-5; the mean of 100 * 100 * 2,048 is beyond float16 anyway."""
    student, teacher = (each.float() for each in draw())
    plain = orthogonal_loss(student, teacher_attention(teacher))
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(orthogonal_loss(student, teacher_attention(teacher)), plain, rtol=0, atol=0)
    large = torch.full((1, 2048, 7, 7), 100.0, dtype=torch.float16)
    assert float(attention_map(large)[0, 0, 0]) == 10000.0


def test_rescaled_has_one_value_and_another_direction() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    loss = (3 * x).sum()
    scaled = rescaled(loss, torch.tensor(18.0))
    (gradient,) = torch.autograd.grad(scaled, x)
    assert float(scaled.detach()) == 18.0 and gradient.tolist() == [6.0, 6.0]
    assert float(rescaled(0 * x.sum(), torch.tensor(18.0)).detach()) == 0.0
