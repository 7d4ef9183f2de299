"""Class maps and the minimum over children against literal loops."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from linnet.errors import SupervisionError
from linnet.losses.class_maps import ClassMaps, MinimumOverChildren
from linnet.randomness import seeded
from tests.reference import class_maps as reference


def membership_of(parents: list[int]) -> Tensor:
    return torch.tensor(parents) == torch.arange(max(parents) + 1)[:, None]


def distinct(*shape: int) -> Tensor:
    """Values at least 0.1 apart, in random order: no ties, and none within a finite difference."""
    count = torch.Size(shape).numel()
    return (torch.randperm(count).double() * 0.1).reshape(shape)


UNEVEN = membership_of([2, 0, 1, 2, 0, 2, 3, 0, 2])


@given(parents=st.lists(st.integers(0, 5), min_size=1, max_size=12), seed=st.integers(0, 99))
def test_minimum_equals_the_loops(parents: list[int], seed: int) -> None:
    membership = membership_of([sorted(set(parents)).index(parent) for parent in parents])
    with seeded(seed, "maps"):
        maps = torch.randn(2, len(parents), 3, dtype=torch.float64)
    assert torch.equal(MinimumOverChildren(membership)(maps), reference.coarse_maps(maps, membership))
    soft = MinimumOverChildren(membership, 0.7)(maps)
    torch.testing.assert_close(soft, reference.coarse_maps(maps, membership, 0.7))


@pytest.mark.parametrize("softmin", [None, 0.05, 2.0])
def test_gradients_through_the_minimum(softmin: float | None) -> None:
    with seeded(0, "maps"):
        maps = distinct(2, 9, 4).requires_grad_()
    assert torch.autograd.gradcheck(MinimumOverChildren(UNEVEN, softmin), maps)


def test_a_gradient_reaches_the_least_child_alone() -> None:
    with seeded(1, "maps"):
        maps = distinct(1, 9, 5).requires_grad_()
    MinimumOverChildren(UNEVEN)(maps).sum().backward()
    assert maps.grad is not None
    for children in UNEVEN:
        mine = maps.grad[0, children]
        assert torch.equal(mine.sum(0), torch.ones(5, dtype=torch.float64))
        assert torch.equal(mine.argmax(0), maps[0, children].argmin(0))


@given(temperature=st.floats(1e-3, 1e3), seed=st.integers(0, 99))
def test_the_smooth_minimum_lies_between_minimum_and_mean(temperature: float, seed: int) -> None:
    with seeded(seed, "maps"):
        maps = torch.randn(1, 9, 4, dtype=torch.float64)
    least = MinimumOverChildren(UNEVEN)(maps)
    soft = MinimumOverChildren(UNEVEN, temperature)(maps)
    mean = UNEVEN.double() @ maps / UNEVEN.sum(1, keepdim=True)
    assert bool((soft >= least - 1e-9).all()) and bool((soft <= mean + 1e-9).all())
    assert float((soft - least).max()) <= temperature * torch.log(UNEVEN.sum(1).max()).item() + 1e-9


def test_the_smooth_minimum_is_stable_and_tends_to_the_minimum() -> None:
    maps = torch.tensor([[[1e4], [-1e4], [3.0]]])
    one = torch.ones(1, 3, dtype=torch.bool)
    assert MinimumOverChildren(one, 1e-3)(maps).item() == pytest.approx(-1e4)
    torch.testing.assert_close(MinimumOverChildren(one, 0.3)(torch.full((1, 3, 2), 0.7)), torch.full((1, 1, 2), 0.7))


def test_a_coarse_class_without_a_child_says_what_to_do() -> None:
    childless = torch.tensor([[1, 1], [0, 0], [0, 0]], dtype=torch.bool)
    with pytest.raises(SupervisionError, match=r"2 of 3 coarse classes.*numbers 1, 2.*fine label.*'classes'"):
        MinimumOverChildren(childless)


@pytest.mark.parametrize(("cells", "side"), [(1, 3), (4, 1), (2, 3)])
def test_maps_are_a_convolution_and_scores_their_mean(cells: int, side: int) -> None:
    head = ClassMaps(5, 3, cells).double()
    nn.init.normal_(head.bias)
    features = torch.randn(2, 5, side, side, dtype=torch.float64)
    maps = head(features)
    assert maps.shape == (2, 3, cells * side * side)
    conv = torch.nn.functional.conv2d(features, head.weight[:, :, None, None], head.bias)
    torch.testing.assert_close(maps, conv.reshape(2, 3, -1))
    torch.testing.assert_close(head.scores(features.mean((2, 3))), reference.scores(maps))
    torch.testing.assert_close(head(features.to(memory_format=torch.channels_last)), maps)


def test_maps_behind_a_relu_are_cut_before_the_mean() -> None:
    head = ClassMaps(4, 2, relu=True)
    assert float(head(torch.randn(3, 4, 2, 2)).detach().min()) == 0.0
    with pytest.raises(ValueError, match="need the maps"):
        head.scores(torch.zeros(1, 4))


def test_maps_stay_in_single_precision_under_autocast() -> None:
    head, features = ClassMaps(4, 2), torch.randn(3, 4, 2, 2)
    with torch.autocast("cpu", torch.bfloat16):
        assert head(features.bfloat16()).dtype == head.scores(features.mean((2, 3))).dtype == torch.float32
        assert torch.equal(head(features), head(features).float())
    torch.testing.assert_close(head(features), head(features.bfloat16()), rtol=0.02, atol=0.02)
