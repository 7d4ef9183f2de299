"""The generator, the critic and its penalty against literal transcriptions."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from linnet.losses.wgan import Critic, Generator, gradient_penalty, held
from linnet.randomness import seeded
from tests.reference import wgan as literal


def layers_of(part: Critic) -> list[tuple[Tensor, Tensor]]:
    linear = [layer for layer in part.layers if isinstance(layer, nn.Linear)]
    return [(layer.weight.detach(), torch.zeros(1) if layer.bias is None else layer.bias.detach()) for layer in linear]


def parts() -> tuple[Critic, Tensor, Tensor, Tensor, Tensor]:
    """A critic, real and fake features (7, 5), descriptions (7, 3), shares (7, 1)."""
    with seeded(0, "wgan"):
        return Critic(5, 3, 8).double(), *(torch.rand(7, n, dtype=torch.float64) for n in (5, 5, 3, 1))


def test_the_critic_scores_a_feature_and_its_description() -> None:
    critic, real, fake, described, _ = parts()
    found = critic(real, described).detach()
    expected = [literal.score(layers_of(critic), x, a) for x, a in zip(real, described, strict=True)]
    torch.testing.assert_close(found, torch.stack(expected))
    distance = (critic(fake, described).mean() - critic(real, described).mean()).detach()
    assert float(distance) == pytest.approx(literal.critic_objective(layers_of(critic), real, fake, described))


def test_the_penalty_is_that_of_the_gradient_written_out() -> None:
    critic, real, fake, described, share = parts()
    found = gradient_penalty(critic, real, fake, described, share)
    expected = literal.penalty(layers_of(critic), real, fake, described, share)
    torch.testing.assert_close(found.detach(), expected)
    found.backward()  # type: ignore[no-untyped-call]
    weights = [layer.weight.grad for layer in critic.layers if isinstance(layer, nn.Linear)]
    assert all(grad is not None and bool(grad.abs().sum() > 0) for grad in weights)


def test_the_penalty_learns_by_differences() -> None:
    """Its gradient, a second derivative, against finite differences."""
    critic, real, fake, described, share = parts()
    weight = critic.layers[2].weight
    assert isinstance(weight, nn.Parameter)
    gradient_penalty(critic, real, fake, described, share).backward()  # type: ignore[no-untyped-call]
    assert weight.grad is not None
    for place in range(3):
        values = []
        for step in (1e-6, -1e-6):
            with torch.no_grad():
                weight[0, place] += step
            values.append(float(gradient_penalty(critic, real, fake, described, share).detach()))
            with torch.no_grad():
                weight[0, place] -= step
        assert float(weight.grad[0, place]) == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-4, abs=1e-7)


def test_a_critic_without_slope_has_a_penalty_and_a_sound_gradient() -> None:
    """Of zero weights: |0| has no derivative, and none is taken."""
    critic, real, fake, described, share = parts()
    for parameter in critic.parameters():
        nn.init.zeros_(parameter)
    loss = gradient_penalty(critic, real, fake, described, share)
    loss.backward()  # type: ignore[no-untyped-call]
    assert float(loss.detach()) == 1.0
    assert all(bool(torch.isfinite(p.grad).all()) for p in critic.parameters() if p.grad is not None)


def test_full_precision_under_autocast() -> None:
    critic, real, fake, described, share = (each.float() for each in parts())
    expected = gradient_penalty(critic, real, fake, described, share).detach()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(gradient_penalty(critic, real, fake, described, share).detach(), expected)


def test_features_are_made_of_noise_and_description() -> None:
    """Never negative; the draw is torch's own."""
    with seeded(0, "generator"):
        generator, described = Generator(4, 3, 8, 5), torch.rand(6, 3)
        noise = torch.randn(6, 4)
    first, second = (layer for layer in generator.layers if isinstance(layer, nn.Linear))
    hidden = F.leaky_relu(F.linear(torch.cat([noise, described], 1), first.weight, first.bias), 0.2)
    expected = F.linear(hidden, second.weight, second.bias).clamp(min=0)
    torch.testing.assert_close(generator(noise, described), expected)
    with seeded(1, "draw"):
        made = generator.draw(described)
    with seeded(1, "draw"):
        assert torch.equal(made, generator(torch.empty(6, 4).normal_(), described))
    assert made.shape == (6, 5) and not bool((made < 0).any())


def test_held_modules_get_no_gradient_and_pass_it_on() -> None:
    critic, real, _, described, _ = parts()
    real.requires_grad_()
    critic.layers[0].requires_grad_(False)
    with held(critic):
        score = critic(real, described).sum()
    score.backward()  # type: ignore[no-untyped-call]
    assert real.grad is not None and bool(real.grad.abs().sum() > 0)
    assert all(parameter.grad is None for parameter in critic.parameters())
    assert [p.requires_grad for p in critic.parameters()] == [False, False, True], "as they were"
