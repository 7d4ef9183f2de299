"""Optimizers as recipes say, and steps that leave some parameters out."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from linnet.errors import RecipeError
from linnet.methods.base import ParameterGroup, Stage
from linnet.training.optimizer import build_optimizer, load_optimizer_state, optimizer_state
from tests.training.tiny import tiny_recipe


@pytest.mark.parametrize(
    "settings", [{"optimizer": "sgd"}, {"optimizer": "adam"}, {"optimizer": "adamw", "betas": [0.5, 0.9]}]
)
def test_what_has_no_gradient_does_not_move(settings: dict[str, object]) -> None:
    """Not by momentum, and not by weight decay; so also once its state was put back."""
    first, second = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
    recipe = tiny_recipe(weight_decay=0.1, **settings)
    optimizer = build_optimizer(Stage("train", [ParameterGroup([first, second])]), recipe)
    for turn in range(4):
        if turn == 2:
            state = {name: value.clone() for name, value in optimizer_state(optimizer).items()}
            optimizer = build_optimizer(Stage("train", [ParameterGroup([first, second])]), recipe)
            load_optimizer_state(optimizer, state)
        mine, other = (first, second) if turn % 2 == 0 else (second, first)
        before = [mine.detach().clone(), other.detach().clone()]
        optimizer.zero_grad(set_to_none=True)
        mine.sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        assert not torch.equal(mine, before[0]) and torch.equal(other, before[1])


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_parameters_meet_their_first_gradient_at_different_steps(momentum: float) -> None:
    """As with two losses stepped in turn, which share a net: the fused update of SGD gives what the plain one does."""
    ends = []
    for scaled in (False, True):
        net, first, second = (nn.Parameter(torch.linspace(1, 2, 5)) for _ in range(3))
        recipe = tiny_recipe(momentum=momentum, weight_decay=0.1, nesterov=momentum > 0)
        optimizer = build_optimizer(Stage("train", [ParameterGroup([net, first, second])]), recipe, scaled=scaled)
        for own in (first, second, first, second):
            optimizer.zero_grad(set_to_none=True)
            (net * own).sum().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        ends.append([net, first, second])
    for fused, plain in zip(*ends, strict=True):
        torch.testing.assert_close(fused, plain, rtol=1e-6, atol=1e-6)


def test_adam_adds_weight_decay_to_the_gradient_and_adamw_does_not() -> None:
    """Where the loss asks for nothing, adam steps by lr and adamw by lr times the decay."""
    for name, expected in (("adam", 0.9), ("adamw", 0.99)):
        weight = nn.Parameter(torch.ones(1))
        recipe = tiny_recipe(optimizer=name, lr=0.1, weight_decay=0.1)
        optimizer = build_optimizer(Stage("train", [ParameterGroup([weight])]), recipe)
        weight.grad = torch.zeros(1)
        optimizer.step()
        assert abs(float(weight.detach()) - expected) < 1e-4


def test_betas_are_those_of_the_recipe() -> None:
    stage = Stage("train", [ParameterGroup([nn.Parameter(torch.ones(1))])])
    assert build_optimizer(stage, tiny_recipe(optimizer="adamw")).defaults["betas"] == (0.9, 0.999)
    assert build_optimizer(stage, tiny_recipe(optimizer="adamw", betas=[0.5, 0.9])).defaults["betas"] == (0.5, 0.9)
    for wrong in ([0.5], [0.5, 1.0]):
        with pytest.raises(RecipeError, match="betas"):
            tiny_recipe(betas=wrong)
