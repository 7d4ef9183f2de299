"""The sampled instance softmax: right on average, exact in its update, and the same after a restart."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from linnet.losses import instance_sampled
from linnet.losses.instance import InstanceHead
from linnet.losses.instance_sampled import SampledInstanceHead, draw
from linnet.losses.owned import UpdateRule
from tests.reference.instance import step_by_rule

GROUPS = torch.tensor([0] * 12 + [2] * 7 + [3])


def make_head(temperature: float | None, sample: int) -> SampledInstanceHead:
    torch.manual_seed(0)
    return SampledInstanceHead(GROUPS, 4, temperature, sample=sample).double()


@given(
    size=st.integers(1, 40), count=st.integers(1, 50), batch=st.lists(st.integers(0, 39), min_size=1), key=st.integers()
)
def test_a_draw_holds_the_batch_and_others_once(size: int, count: int, batch: list[int], key: int) -> None:
    place = torch.tensor([i % size for i in batch])
    columns, own, bonus = draw(place, size, count, (key, 1, 2))
    assert torch.equal(columns[own[:, 0]], place)
    assert len(set(columns.tolist())) == len(columns) == min(size, len(set(place.tolist())) + count)
    assert 0 <= int(columns.min()) <= int(columns.max()) < size
    # Each stands for itself or its share of the others, and all of them together for the whole group.
    assert float(bonus.exp().sum()) == pytest.approx(size)
    again = draw(place, size, count, (key, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(again, (columns, own, bonus), strict=True))


def test_every_other_instance_is_drawn_as_often() -> None:
    seen = torch.zeros(9)
    for step in range(4000):
        columns, _, _ = draw(torch.tensor([4, 4, 1]), 9, 3, (0, step))
        seen[columns] += 1
    assert seen[[1, 4]].tolist() == [4000, 4000]
    expected, spread = 4000 * 3 / 7, math.sqrt(4000 * 3 / 7 * 4 / 7)
    assert bool(((seen[[0, 2, 3, 5, 6, 7, 8]] - expected).abs() < 4 * spread).all())


@pytest.mark.parametrize("temperature", [None, 0.3])
def test_the_sum_over_the_group_is_right_on_average(temperature: float | None) -> None:
    """exp(loss) is the softmax's denominator over one exponential, and linear in the sum."""
    head, whole = make_head(temperature, 3), InstanceHead(GROUPS, 4, temperature, engine="torch").double()
    whole.load_state_dict({name: head.state_dict()[name] for name in ("weight", "velocity")}, strict=False)
    embedding, index = torch.randn(1, 4, dtype=torch.float64), torch.tensor([5])
    found = []
    with torch.no_grad():
        for step in range(4000):
            head.clock[1] = step
            found.append(head(embedding, index).exp())
        exact = whole(embedding, index).exp()
    values = torch.stack(found)
    assert values.std() > 0.01 * exact, "draws were meant to differ"
    assert abs(values.mean() - exact) < 4 * values.std() / math.sqrt(len(values))


@pytest.mark.parametrize("temperature", [None, 0.3])
def test_a_sample_of_all_is_exact(temperature: float | None) -> None:
    """The ordinary head, step for step."""
    head = make_head(temperature, 100)
    whole = InstanceHead(GROUPS, 4, temperature, engine="torch").double()
    whole.load_state_dict({name: head.state_dict()[name] for name in ("weight", "velocity")}, strict=False)
    for number in range(20):
        embedding, index = torch.randn(2, 4, dtype=torch.float64), torch.randint(20, (2,))
        losses = [one(embedding, index) for one in (head, whole)]
        for one, loss in zip((head, whole), losses, strict=True):
            loss.backward()
            one.step(UpdateRule(0.1, 0.9, 0.01 * number))
        torch.testing.assert_close(*losses)
    for one in (head, whole):
        one.flush()
    torch.testing.assert_close(head.weight, whole.weight)
    torch.testing.assert_close(head.velocity, whole.velocity)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("temperature", [None, 0.3])
def test_updates_equal_dense_ones(temperature: float | None, nesterov: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Autograd through the softmax over what was drawn, and every row stepped; cohorts run out several times."""
    monkeypatch.setattr(instance_sampled, "_COHORTS", 16)
    monkeypatch.setattr(instance_sampled, "_CHUNK", 12)
    head = make_head(temperature, 2)
    weight, velocity = head.weight.clone(), head.velocity.clone()
    for number in range(100):
        rule = UpdateRule(0.2 * 0.99**number, 0.9 if number > 9 else 0.0, 0.01, nesterov)
        index = torch.randint(20, (3,))
        embedding = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
        other, leaf = embedding.detach().requires_grad_(), weight.clone().requires_grad_()
        loss = head(embedding, index)
        literal = _literal(head, other, index, leaf)
        loss.backward()
        literal.backward()  # type: ignore[no-untyped-call]
        head.step(rule)
        assert leaf.grad is not None
        weight, velocity = step_by_rule(weight, velocity, leaf.grad, rule)
        torch.testing.assert_close(loss, literal)
        torch.testing.assert_close(embedding.grad, other.grad)
    head.flush()
    torch.testing.assert_close(head.weight, weight, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(head.velocity, velocity, rtol=1e-10, atol=1e-10)


def _literal(head: SampledInstanceHead, x: torch.Tensor, index: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Mean over images of -log( e_own / (sum over the batch's + others / drawn times the sum over those drawn) )."""
    total = torch.zeros((), dtype=torch.float64)
    for row, image in enumerate(index.tolist()):
        group = int(GROUPS[image])
        first = int((group > GROUPS).sum())
        together = index[GROUPS[index] == group] - first
        columns, _, bonus = draw(together, int((group == GROUPS).sum()), head.sample, (*head.clock[:2].tolist(), group))
        rows, one = weight[first + columns], x[row]
        if head.temperature is None:
            scores = rows @ one
        else:
            scores = F.normalize(rows) @ F.normalize(one, dim=0) / head.temperature
        own = columns.tolist().index(image - first)
        total = total - torch.log(scores[own].exp() / (scores.exp() * bonus.exp()).sum())
    return total / len(index)


def test_a_state_goes_on_with_the_same_bits() -> None:
    """Draws, cohorts and what is pending; and another key draws otherwise."""
    head = make_head(None, 2)

    def steps(head: SampledInstanceHead, first: int, last: int) -> None:
        for number in range(first, last):
            source = torch.Generator().manual_seed(number)
            head(torch.randn(2, 4, generator=source), torch.randint(20, (2,), generator=source)).backward()
            head.step(UpdateRule(0.1, 0.9, 0.01))

    steps(head, 0, 9)
    torch.manual_seed(1)
    again = SampledInstanceHead(GROUPS, 4, sample=2).double()
    assert again.clock[0] != head.clock[0]
    again.load_state_dict(copy.deepcopy(head.state_dict()))
    for one in (head, again):
        steps(one, 9, 20)
    assert all(torch.equal(a, b) for a, b in zip(head.buffers(), again.buffers(), strict=True))
