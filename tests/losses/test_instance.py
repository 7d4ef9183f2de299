"""The blockwise instance head against the literal equations, and against dense training by torch.optim.SGD."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from linnet.losses import instance_rows
from linnet.losses.instance import InstanceHead
from linnet.losses.instance_torch import TorchEngine
from linnet.losses.owned import UpdateRule
from tests.reference.instance import DenseHead, chance_loss, instance_loss

# Group 4 is empty, 1 and 2 have one image.
GROUPS = torch.tensor([3, 0, 0, 5, 1, 3, 0, 0, 0, 3, 5, 0, 2, 3, 0, 5, 5, 5, 5, 0])

TYPES = (torch.float64, torch.float32)


def make_head(
    groups: torch.Tensor, dim: int, temperature: float | None = None, dtype: torch.dtype = torch.float64
) -> InstanceHead:
    """A head with weights of size 1, the same every time."""
    torch.manual_seed(0)
    head = InstanceHead(groups, dim, temperature, engine="torch").to(dtype)
    head.weight.normal_()
    return head


def in_parts(patch: pytest.MonkeyPatch, chunk: int, kept: int) -> None:
    """Make the torch engine cut blocks into chunks, and keep few logits."""
    patch.setattr("linnet.losses.instance.find_engine", lambda *_: TorchEngine(chunk, kept))


def by_image(head: InstanceHead, rows: torch.Tensor) -> torch.Tensor:
    return rows.detach()[head.layout.position].double()


def a_rule(step: int, nesterov: bool) -> UpdateRule:
    """Another learning rate, momentum and decay at each step: a warm-up of both, then drops."""
    lr = 0.2 * min(1, (step + 1) / 40) * 0.3 ** (step // 100)
    return UpdateRule(lr, 0.5 + 0.4 * min(1, step / 60), 0.01 if step % 50 else 0.05, nesterov)


@settings(max_examples=40, deadline=None)
@given(
    groups=st.lists(st.integers(0, 4), min_size=1, max_size=12),
    batch=st.lists(st.integers(0, 11), min_size=1, max_size=8),
    temperature=st.sampled_from([None, 0.5]),
    seed=st.integers(0, 1000),
    chunk=st.sampled_from([6, 1 << 20]),
)
def test_loss_and_gradients_equal_the_equation(
    groups: list[int], batch: list[int], temperature: float | None, seed: int, chunk: int
) -> None:
    """Any group sizes (empty and single ones too), repeated images, both kinds of logits, blocks whole and in parts."""
    torch.manual_seed(seed)
    group, index = torch.tensor(groups), torch.tensor([i % len(groups) for i in batch])
    head = InstanceHead(group, 3, temperature, engine="torch").double()
    weight = by_image(head, head.weight).requires_grad_()
    embedding = torch.randn(len(index), 3, dtype=torch.float64, requires_grad=True)
    with pytest.MonkeyPatch.context() as patch:
        in_parts(patch, chunk, chunk)
        loss = head(embedding, index)
        loss.backward()
        head.step(UpdateRule(lr=1.0))

    literal_embedding = embedding.detach().requires_grad_()
    literal = instance_loss(literal_embedding, index, weight, group, temperature)
    literal.backward()  # type: ignore[no-untyped-call]
    assert weight.grad is not None
    torch.testing.assert_close(loss, literal)
    torch.testing.assert_close(embedding.grad, literal_embedding.grad)
    torch.testing.assert_close(by_image(head, head.weight), (weight - weight.grad).detach())
    dense = DenseHead(weight, group, temperature)
    torch.testing.assert_close(dense.loss(embedding, index), literal)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("temperature", [None, 0.2])
@pytest.mark.parametrize(("chunk", "kept"), [(1 << 20, 1 << 20), (40, 1 << 20), (40, 40)])
def test_300_steps_equal_dense_sgd(
    chunk: int, kept: int, temperature: float | None, nesterov: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Most batches miss most groups, so blocks lag for many steps under rules that change at each of them."""
    in_parts(monkeypatch, chunk, kept)
    head = make_head(GROUPS, 5, temperature)
    dense = DenseHead(by_image(head, head.weight), GROUPS, temperature)
    longest = 0
    for number in range(300):
        group = (0, 1, 5, 2, 3)[number % 7 % 5]
        index = torch.randint(len(GROUPS), (6,)) if number % 3 else (group == GROUPS).nonzero().repeat(3, 1)[:4, 0]
        embedding = torch.randn(len(index), 5, dtype=torch.float64, requires_grad=True)
        other = embedding.detach().requires_grad_()
        loss, expected = head(embedding, index), dense.loss(other, index)
        (3 * loss).backward()
        (3 * expected).backward()
        assert embedding.grad is not None
        torch.testing.assert_close(loss.detach(), expected.detach(), rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(embedding.grad, other.grad, rtol=1e-10, atol=1e-10)
        head.step(a_rule(number, nesterov))
        dense.step(a_rule(number, nesterov))
        longest = max(longest, int((head.pending != torch.eye(2)).any(2).any(1).sum()))
    assert longest >= 4, "blocks were meant to lag"
    head.flush()
    for rows, expected in zip((head.weight, head.velocity), dense.state, strict=True):
        torch.testing.assert_close(by_image(head, rows), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("temperature", [None, 0.2])
@pytest.mark.parametrize("onednn", [True, False])
@pytest.mark.parametrize(("chunk", "kept"), [(1 << 20, 1 << 20), (300, 1 << 20), (300, 100)])
def test_float32_equals_float64_within_rounding(
    chunk: int, kept: int, onednn: bool, temperature: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sizes that are rounded up, so that the products see rows of other blocks; with oneDNN's products and without."""
    if not onednn:
        monkeypatch.setattr(instance_rows, "_onednn", lambda: None)
    in_parts(monkeypatch, chunk, kept)
    groups = torch.repeat_interleave(torch.arange(5), torch.tensor([37, 21, 1, 19, 83]))
    head = make_head(groups, 6, temperature, torch.float32)
    dense = DenseHead(by_image(head, head.weight), groups, temperature)
    for number in range(20):
        index = torch.randint(len(groups), (30,)) if number % 4 else torch.arange(9)
        embedding = torch.randn(len(index), 6, requires_grad=True)
        other = embedding.detach().double().requires_grad_()
        loss, expected = head(embedding, index), dense.loss(other, index)
        loss.backward()
        expected.backward()  # type: ignore[no-untyped-call]
        assert embedding.grad is not None
        torch.testing.assert_close(loss.detach().double(), expected.detach(), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(embedding.grad.double(), other.grad, rtol=1e-4, atol=1e-6)
        head.step(a_rule(number, nesterov=False))
        dense.step(a_rule(number, nesterov=False))
    head.flush()
    for rows, exact in zip((head.weight, head.velocity), dense.state, strict=True):
        torch.testing.assert_close(by_image(head, rows), exact, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("temperature", [None, 0.2])
def test_3000_steps_of_float32_stay_within_rounding(temperature: float | None) -> None:
    """Blocks that lag for 25 steps on average, beside dense training in float64; and nearer to it than in float32."""
    torch.manual_seed(0)
    groups = torch.arange(300) % 100
    head = InstanceHead(groups, 8, temperature, engine="torch")
    exact, rounded = (DenseHead(head.weight[head.layout.position].to(t), groups, temperature) for t in TYPES)
    for number in range(3000):
        index, rule = torch.randint(300, (4,)), UpdateRule(0.1 * 0.2 ** (number // 1000), 0.9, 5e-4)
        embedding = torch.randn(4, 8)
        head(embedding, index).backward()
        head.step(rule)
        for dense in (exact, rounded):
            dense.loss(embedding.to(dense.weight.dtype), index).backward()  # type: ignore[no-untyped-call]
            dense.step(rule)
    head.flush()
    found = [by_image(head, head.weight), by_image(head, head.velocity)]
    for ours, alike, true in zip(found, rounded.state, exact.state, strict=True):
        error = float((ours - true).norm() / true.norm())
        assert error < min(1e-6, float((alike - true).norm() / true.norm()))


@pytest.mark.parametrize("temperature", [None, 0.2])
def test_a_state_taken_while_blocks_lag_goes_on_with_the_same_bits(temperature: float | None) -> None:
    """What is pending is a part of the state."""
    head = make_head(GROUPS, 5, temperature, torch.float32)

    def steps(head: InstanceHead, first: int, last: int) -> None:
        for number in range(first, last):
            generator = torch.Generator().manual_seed(number)
            index = torch.randint(len(GROUPS), (2,), generator=generator)
            head(torch.randn(2, 5, generator=generator), index).backward()
            head.step(a_rule(number, nesterov=False))

    steps(head, 0, 20)
    assert bool((head.pending != torch.eye(2)).any())
    again = make_head(GROUPS, 5, temperature, torch.float32)
    again.load_state_dict(copy.deepcopy(head.state_dict()))
    steps(head, 20, 40)
    steps(again, 20, 40)
    assert all(torch.equal(one, other) for one, other in zip(head.buffers(), again.buffers(), strict=True))


def test_looking_at_the_loss_leaves_no_trace() -> None:
    """With gradients or without; only a step changes what is stored, and only after a backward pass."""
    head = make_head(GROUPS, 5)
    head(torch.randn(1, 5), torch.tensor([3])).backward()
    head.step(UpdateRule(0.1, 0.9, 0.1))
    before = copy.deepcopy(head.state_dict())
    with torch.no_grad():
        head(torch.randn(4, 5), torch.arange(4))
        head.step(UpdateRule(0.1, 0.9, 0.1))
    head(torch.randn(4, 5, requires_grad=True), torch.arange(4)).backward()
    head(torch.randn(4, 5, requires_grad=True), torch.arange(4))
    head.step(UpdateRule(0.1, 0.9, 0.1))
    assert all(torch.equal(value, before[name]) for name, value in head.state_dict().items())


def test_flushing_changes_no_loss() -> None:
    head = make_head(GROUPS, 5, 0.2)
    for number in range(9):
        head(torch.randn(1, 5), torch.tensor([number])).backward()
        head.step(a_rule(number, nesterov=True))
    embedding = torch.randn(20, 5)
    before = head(embedding, torch.arange(20))
    head.flush()
    assert torch.equal(head.pending, torch.eye(2, dtype=torch.float64).expand(6, 2, 2))
    torch.testing.assert_close(head(embedding, torch.arange(20)), before)


def test_two_backward_passes_before_a_step_are_refused() -> None:
    """The second's gradient would be lost."""
    head = make_head(GROUPS, 5)
    twice = head(torch.randn(2, 5), torch.arange(2)) + head(torch.randn(2, 5), torch.arange(2))
    with pytest.raises(ValueError, match="one forward pass"):
        twice.backward()


def test_a_scaled_loss_takes_the_same_step() -> None:
    """As fp16's gradient scaler does, by a power of two."""
    heads = [make_head(GROUPS, 5, 0.2) for _ in range(2)]
    embedding = torch.randn(4, 5, dtype=torch.float64)
    for head, scale in zip(heads, (1.0, 1024.0), strict=True):
        (head(embedding, torch.arange(4)) * scale).backward()
        head.step(UpdateRule(0.1, 0.9, 0.1), scale)
    assert torch.equal(heads[0].weight, heads[1].weight)


def test_momentum_starts_from_the_last_gradient() -> None:
    """A rule without momentum still leaves its velocity, so that a warm-up may begin at 0."""
    head = make_head(torch.zeros(3, dtype=torch.int64), 5)
    weight, velocity = head.weight.clone(), head.velocity.clone()
    for rule in (UpdateRule(0.1, 0.0, 0.1), UpdateRule(0.1, 0.5, 0.1)):
        embedding, index = torch.randn(2, 5, dtype=torch.float64), torch.tensor([0, 2])
        leaf = weight.clone().requires_grad_()
        instance_loss(embedding, index, leaf, torch.zeros(3)).backward()  # type: ignore[no-untyped-call]
        assert leaf.grad is not None
        velocity = rule.momentum * velocity + leaf.grad + rule.weight_decay * weight
        weight = weight - rule.lr * velocity
        head(embedding, index).backward()
        head.step(rule)
    torch.testing.assert_close(head.weight, weight)


def test_other_types_keep_what_is_pending_exact() -> None:
    """The maps stay in float64, and half-precision embeddings are summed in the weights' type."""
    head = make_head(torch.zeros(50, dtype=torch.int64), 8, dtype=torch.float32)
    assert head.pending.dtype == torch.float64
    embedding, index = torch.randn(6, 8), torch.arange(6)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = head(embedding, index)
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, head(embedding, index))


def test_zero_weights_lose_the_log_of_the_group_size() -> None:
    """A head that knows nothing, plain or cosine."""
    groups, index = torch.tensor([0, 1, 1, 2, 2, 2]), torch.tensor([0, 2, 5, 5])
    for temperature in (None, 0.1):
        head = InstanceHead(groups, 4, temperature)
        torch.nn.init.zeros_(head.weight)
        assert head(torch.randn(4, 4), index).item() == pytest.approx(chance_loss(groups, index))


def test_logits_never_span_all_instances(monkeypatch: pytest.MonkeyPatch) -> None:
    """No product is wider than the largest group, nor larger than a chunk."""
    widths: list[tuple[int, ...]] = []
    real = instance_rows.product

    def watched(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        widths.append((len(x), len(w)))
        return real(x, w)

    monkeypatch.setattr(instance_rows, "product", watched)
    head = InstanceHead(torch.arange(40) % 8, 4, engine="torch")
    head(torch.randn(16, 4), torch.arange(16))
    assert set(widths) == {(2, 5)}
    in_parts(monkeypatch, 16, 16)
    head(torch.randn(16, 4), torch.arange(16))
    assert max(math.prod(width) for width in widths[8:]) <= 16


def test_a_number_that_is_no_images_is_refused() -> None:
    """And not taken as one counted from the end."""
    head = make_head(GROUPS, 3)
    with pytest.raises(ValueError, match="-1 somewhere"):
        head(torch.zeros(2, 3), torch.tensor([4, -1]))


def test_unlabelled_images_are_refused() -> None:
    """An instance without a coarse class has no block."""
    with pytest.raises(ValueError, match="group"):
        InstanceHead(torch.tensor([0, -1]), 4)
