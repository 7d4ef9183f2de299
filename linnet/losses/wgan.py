"""Feature generation by a conditional Wasserstein GAN with gradient penalty (Xian et al. 2018, f-CLSWGAN)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from linnet.losses.linear import in_full_precision

__all__ = ["Critic", "Generator", "gradient_penalty", "held"]


def _two_layers(inputs: int, hidden: int, outputs: int, *, bias: bool = True) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, outputs, bias=bias))


class Generator(nn.Module):
    """Features G(z, a) of a class from noise and its description: Linear, LeakyReLU, Linear, ReLU.

    Args:
        noise: length of z.
        attributes: A.
        hidden: width of the layer between.
        dim: D of the features, which are not negative, as after a net's last ReLU.
    """

    def __init__(self, noise: int, attributes: int, hidden: int, dim: int) -> None:
        super().__init__()
        self.noise = noise
        self.layers = _two_layers(noise + attributes, hidden, dim)

    def forward(self, noise: Tensor, attributes: Tensor) -> Tensor:
        """Features (n, D), float32, of noise (n, noise) and descriptions (n, A)."""
        with in_full_precision(noise):
            features: Tensor = self.layers(torch.cat([noise, attributes], 1)).relu()
            return features

    def draw(self, attributes: Tensor) -> Tensor:
        """Features (n, D) for standard normal noise, from torch's own state, which the loop keys by the step."""
        features: Tensor = self(attributes.new_empty(len(attributes), self.noise).normal_(), attributes)
        return features


class Critic(nn.Module):
    """D(x, a): how real features are for a class, any number: Linear, LeakyReLU, Linear.

    The last layer has no bias: only differences of scores count, so none would learn.
    """

    def __init__(self, dim: int, attributes: int, hidden: int) -> None:
        super().__init__()
        self.layers = _two_layers(dim + attributes, hidden, 1, bias=False)

    def forward(self, features: Tensor, attributes: Tensor) -> Tensor:
        """Scores (n,), float32, of features (n, D) and descriptions (n, A)."""
        with in_full_precision(features):
            scores: Tensor = self.layers(torch.cat([features, attributes], 1))
            return scores[:, 0]


def gradient_penalty(critic: Critic, real: Tensor, fake: Tensor, attributes: Tensor, share: Tensor) -> Tensor:
    """Mean of (|grad_x D(x, a)| - 1)^2 at x = share real + (1 - share) fake (Gulrajani et al. 2017, Eq. 3), float32.

    Args:
        real, fake: features (n, D).
        attributes: (n, A).
        share: (n, 1) in 0..1, uniformly drawn.
    """
    with in_full_precision(real):  # autocast would reach into the gradient, too
        between = (share * real + (1 - share) * fake).detach().requires_grad_()
        (gradient,) = torch.autograd.grad(critic(between, attributes).sum(), between, create_graph=True)
        penalty: Tensor = (torch.linalg.vector_norm(gradient, dim=1) - 1).square().mean()
        return penalty


@contextmanager
def held(*modules: nn.Module) -> Iterator[None]:
    """Build a graph through modules that leaves their parameters without a gradient; an optimizer passes those over."""
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
