"""What a prediction costs: memory counted by hand, and what members add to it."""

from __future__ import annotations

import pytest
from torch import Tensor, nn

from linnet.backbones import Backbone
from linnet.methods.supervised import Fine
from linnet.training.cost import measure_cost
from tests.methods.check import build, make_task


class Known(Backbone):
    """Two 1x1 convolutions whose tensors can be counted: 16 and then 8 channels."""

    def __init__(self) -> None:
        super().__init__(8)
        self.first, self.second = nn.Conv2d(3, 16, 1, bias=False), nn.Conv2d(16, 8, 1, bias=False)

    def features(self, images: Tensor) -> Tensor:
        features: Tensor = self.second(self.first(images).relu_())
        return features


def test_memory_is_counted() -> None:
    """At the most both convolutions' results are there; weights, membership and batch besides."""
    method = Fine(Known(), make_task())
    cost = measure_cost(method, 10, batch=4, rounds=1)
    places = 4 * 10 * 10
    weights = 4 * (3 * 16 + 16 * 8 + 8 * 6) + 3 * 6
    assert cost.parameters == pytest.approx((3 * 16 + 16 * 8 + 8 * 6) / 1e6)
    least = (weights + 4 * places * (3 + 16 + 8)) / 1e6
    assert least <= cost.peak_memory <= least + 0.001, "and a mean of 8 numbers an image, logits, probabilities"
    assert cost.milliseconds_per_image > 0


def test_members_add_their_weights_and_hardly_more() -> None:
    """They run one after the other, so that their features are not there at once."""
    method = build("orthogonal-ensemble", options={"members": 3})
    one, two, three = (measure_cost(method.prefix(members), 16, batch=8, rounds=1) for members in (1, 2, 3))
    assert [two.parameters, three.parameters] == pytest.approx([2 * one.parameters, 3 * one.parameters])
    weights = 4e-6 * sum(each.numel() for each in method.prefix(1).state_dict().values())
    assert two.peak_memory - one.peak_memory == pytest.approx(weights, rel=0.1)
    assert three.peak_memory - two.peak_memory == pytest.approx(weights, rel=0.1)


def test_a_larger_batch_takes_more_memory() -> None:
    method = build("fine")
    costs = [measure_cost(method, 16, batch=batch, rounds=1) for batch in (4, 8)]
    assert costs[0].peak_memory < costs[1].peak_memory
