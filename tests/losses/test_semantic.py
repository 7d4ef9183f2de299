"""The interpreter and the losses of paper 000 against their equations."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from linnet.losses.semantic import Interpreter, alignment_loss, candidate_loss, cosine_scores, msra_
from linnet.randomness import seeded
from tests.reference import bigspn as literal


def test_g_is_two_layers_each_with_a_leaky_relu() -> None:
    g, a = Interpreter(5, 7, 9), torch.rand(3, 5)
    first, second = (part for part in g if isinstance(part, nn.Linear))
    expected = F.leaky_relu(F.leaky_relu(a @ first.weight.T + first.bias) @ second.weight.T + second.bias)
    torch.testing.assert_close(g(a), expected)


def test_losses_are_equations_1_and_6() -> None:
    membership = torch.tensor([[1, 1, 0, 0, 0], [0, 0, 1, 0, 1], [0, 0, 0, 1, 0]], dtype=torch.bool)
    with seeded(0, "semantic"):
        f, coarse, fine = torch.randn(8, 6), torch.randn(3, 6), torch.randn(5, 6)
        logits, labels = torch.randn(8, 3), torch.randint(3, (8,))
    scores = cosine_scores(f, coarse)
    expected = literal.semantic_alignment(f.double(), coarse.double(), logits.double(), labels)
    found = alignment_loss(scores, labels) + F.cross_entropy(logits, labels)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)
    named = [literal.nearest(each, coarse, [0, 1, 2]) for each in f]
    assert scores.argmax(1).tolist() == named
    among = membership[torch.tensor(named)]
    expected = literal.subordinate_entropy(f.double(), fine.double(), named, membership)
    torch.testing.assert_close(candidate_loss(cosine_scores(f, fine), among).double(), expected, rtol=1e-5, atol=1e-5)


def test_a_zero_vector_has_no_direction() -> None:
    assert float(cosine_scores(torch.zeros(1, 4), torch.ones(1, 4))) == 0


def test_scores_stay_exact_under_autocast() -> None:
    with seeded(0, "semantic"):
        f, a = torch.randn(4, 64), torch.randn(3, 64)
    with torch.autocast("cpu", torch.bfloat16):
        found = cosine_scores(f, a)
    assert torch.equal(found, F.normalize(f) @ F.normalize(a).T)


def test_msra_has_the_variance_of_he_et_al() -> None:
    with seeded(0, "msra"):
        net = nn.Sequential(nn.Conv2d(64, 32, 3), nn.Linear(300, 40))
        msra_(net)
    assert abs(float(net[0].weight.detach().var()) / (2 / (32 * 9)) - 1) < 0.1
    assert abs(float(net[1].weight.detach().var()) / (2 / 300) - 1) < 0.1
    assert not bool(net[1].bias.any())
