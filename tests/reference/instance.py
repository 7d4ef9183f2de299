"""Eq. 1 and 3-5 of paper 001, transcribed term by term with plain loops."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from linnet.losses.owned import UpdateRule


def inner(a: Tensor, b: Tensor, temperature: float | None) -> Tensor:
    """f(x)^T w, or its cosine over a temperature."""
    if temperature is None:
        return sum(x * y for x, y in zip(a, b, strict=True))
    return (a / a.norm()) @ (b / b.norm()) / temperature


def cross_entropy(embedding: Tensor, rows: list[Tensor], own: int, temperature: float | None) -> Tensor:
    """-log( exp(f^T w_own) / sum_j exp(f^T w_j) )."""
    scores = [inner(embedding, row, temperature) for row in rows]
    return -torch.log(torch.exp(scores[own]) / sum(torch.exp(score) for score in scores))


def instance_loss(
    embedding: Tensor, index: Tensor, weight: Tensor, groups: Tensor, temperature: float | None = None
) -> Tensor:
    """Mean of l_B(x_i, i): the softmax runs over j with y_j^B = y_i^B (Eq. 5); one group makes it Eq. 3.

    `weight` (N, D) is in the order of the images, not sorted.
    """
    total = torch.zeros((), dtype=embedding.dtype)
    for row, image in enumerate(index.tolist()):
        together = [j for j in range(len(groups)) if groups[j] == groups[image]]
        rows = [weight[j] for j in together]
        total = total + cross_entropy(embedding[row], rows, together.index(image), temperature)
    return total / len(index)


def chance_loss(groups: Tensor, index: Tensor) -> float:
    """What a head that knows nothing loses: log of the group's size, averaged."""
    return sum(math.log(int((groups == groups[i]).sum())) for i in index.tolist()) / len(index)


def step_by_rule(weight: Tensor, velocity: Tensor, gradient: Tensor, rule: UpdateRule) -> tuple[Tensor, Tensor]:
    """One SGD step of every entry, as `UpdateRule` says it: (weight, velocity) after it."""
    slope = gradient + rule.weight_decay * weight
    velocity = rule.momentum * velocity + slope
    if rule.nesterov:
        return weight - rule.lr * (slope + rule.momentum * velocity), velocity
    return weight - rule.lr * velocity, velocity


class DenseHead:
    """The head without blocks: one weight matrix in the order of the images, all of it stepped by torch.optim.SGD.

    The logits are all there, and those of other groups are masked; in the type of the weights given.
    """

    def __init__(self, weight: Tensor, groups: Tensor, temperature: float | None) -> None:
        self.weight = weight.detach().clone().requires_grad_()
        self.groups, self.temperature = groups, temperature
        self.optimizer = torch.optim.SGD([self.weight], lr=1.0)

    def loss(self, embedding: Tensor, index: Tensor) -> Tensor:
        """Mean over the batch of the cross-entropy over the image's group."""
        if self.temperature is None:
            logits = embedding @ self.weight.T
        else:
            logits = F.normalize(embedding) @ F.normalize(self.weight).T / self.temperature
        elsewhere = self.groups[index].unsqueeze(1) != self.groups.unsqueeze(0)
        return F.cross_entropy(logits.masked_fill(elsewhere, -torch.inf), index)

    def step(self, rule: UpdateRule) -> None:
        """torch's step, with this rule's numbers."""
        for name in ("lr", "momentum", "weight_decay", "nesterov"):
            self.optimizer.param_groups[0][name] = getattr(rule, name)
        self.optimizer.step()
        self.optimizer.zero_grad()

    @property
    def state(self) -> tuple[Tensor, Tensor]:
        """Weight and torch's momentum buffer."""
        return self.weight.detach(), self.optimizer.state[self.weight]["momentum_buffer"]
