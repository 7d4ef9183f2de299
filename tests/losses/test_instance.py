"""The blockwise instance head against the literal equations."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from linnet.losses.instance import InstanceHead
from tests.reference.instance import chance_loss, instance_loss


def _in_image_order(head: InstanceHead) -> torch.Tensor:
    return head.weight.detach()[head.position].double()


@settings(max_examples=40, deadline=None)
@given(
    groups=st.lists(st.integers(0, 4), min_size=1, max_size=12),
    batch=st.lists(st.integers(0, 11), min_size=1, max_size=8),
    temperature=st.sampled_from([None, 0.5]),
    seed=st.integers(0, 1000),
)
def test_loss_and_gradients_equal_the_equation(
    groups: list[int], batch: list[int], temperature: float | None, seed: int
) -> None:
    """Any group sizes (empty and single ones too), repeated images, both kinds of logits."""
    torch.manual_seed(seed)
    group = torch.tensor(groups)
    index = torch.tensor([i % len(groups) for i in batch])
    head = InstanceHead(group, 3, temperature)
    embedding = torch.randn(len(index), 3, requires_grad=True)
    loss = head(embedding, index)
    loss.backward()  # type: ignore[no-untyped-call]

    weight = _in_image_order(head).requires_grad_()
    literal_embedding = embedding.detach().double().requires_grad_()
    literal = instance_loss(literal_embedding, index, weight, group, temperature)
    literal.backward()  # type: ignore[no-untyped-call]

    torch.testing.assert_close(loss.double(), literal, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(embedding.grad.double(), literal_embedding.grad, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(head.weight.grad[head.position].double(), weight.grad, rtol=1e-4, atol=1e-5)


def test_zero_weights_lose_the_log_of_the_group_size() -> None:
    """A head that knows nothing."""
    groups = torch.tensor([0, 1, 1, 2, 2, 2])
    head = InstanceHead(groups, 4)
    torch.nn.init.zeros_(head.weight)
    index = torch.tensor([0, 2, 5, 5])
    loss = head(torch.randn(4, 4), index)
    assert loss.item() == pytest.approx(chance_loss(groups, index))


def test_logits_never_span_all_instances(monkeypatch: pytest.MonkeyPatch) -> None:
    """No product is wider than the largest group."""
    widths: list[int] = []
    real = torch.nn.functional.linear

    def watched(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        widths.append(len(w))
        return real(x, w)

    monkeypatch.setattr("linnet.losses.instance.F.linear", watched)
    head = InstanceHead(torch.arange(40) % 8, 4)
    head(torch.randn(16, 4), torch.arange(16))
    assert max(widths) == 5


def test_unlabelled_images_are_refused() -> None:
    """An instance without a coarse class has no block."""
    with pytest.raises(ValueError, match="group"):
        InstanceHead(torch.tensor([0, -1]), 4)


def test_half_precision_embeddings_are_summed_in_float32() -> None:
    """Under autocast the head still works in float32."""
    head = InstanceHead(torch.zeros(50, dtype=torch.int64), 8)
    embedding = torch.randn(6, 8)
    index = torch.arange(6)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = head(embedding, index)
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, head(embedding, index))
