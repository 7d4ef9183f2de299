"""Linnet's own nets are the ones of the papers: parameters as published, sizes, starts."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from linnet.backbones import build_backbone, set_dropout
from linnet.backbones.alexnet import ResponseNorm
from linnet.errors import RecipeError
from linnet.losses.class_maps import ClassMaps
from linnet.randomness import seeded


def count(*parts: nn.Module) -> int:
    return sum(parameter.numel() for part in parts for parameter in part.parameters())


@pytest.mark.parametrize(
    ("name", "classes", "published"),
    [  # the sum over layers of inputs * kernel * outputs + outputs, and batch norms' two a channel
        ("cifar-nin", 10, 966_986),
        ("nin-4", 1000, 7_595_176),
        ("alexnet-caffe", 1000, 62_378_344),
        ("cifar-wrn16", 10, 10_961_370),
    ],
)
def test_parameters_are_the_published_ones(name: str, classes: int, published: int) -> None:
    with torch.device("meta"):
        backbone = build_backbone(name)
        head = ClassMaps(backbone.dim, classes)
    assert count(backbone, head) == published


def test_the_small_alexnet_with_parallel_fc36() -> None:
    with torch.device("meta"):
        backbone, head = build_backbone("cifar-alexnet"), ClassMaps(1024, 100, 36)
    layers = [(3 * 25, 32), (32 * 25, 32), (32 * 25, 64), (64 * 16, 1024)]
    assert count(backbone) == sum((inputs + 1) * outputs for inputs, outputs in layers) == 1_128_928
    assert count(head) == 100 * 36 * 1025


@pytest.mark.parametrize(
    ("name", "sides", "shape"),
    [
        ("nin-4", (224,), (2, 1024, 6, 6)),
        ("alexnet-caffe", (199, 224, 227), (2, 4096, 1, 1)),
        ("cifar-wrn16", (32,), (2, 512, 8, 8)),
        ("cifar-nin", (32,), (2, 192, 8, 8)),
        ("cifar-alexnet", (32, 33), (2, 1024, 1, 1)),
    ],
)
def test_maps_at_the_nets_own_sizes(name: str, sides: tuple[int, ...], shape: tuple[int, ...]) -> None:
    with torch.device("meta"):
        backbone = build_backbone(name).eval()
        for side in sides:
            assert backbone.features(torch.zeros(2, 3, side, side)).shape == shape


@pytest.mark.parametrize(
    ("name", "side", "needed"),
    [("cifar-alexnet", 31, 32), ("alexnet-caffe", 198, 199), ("cifar-nin", 3, 4), ("nin-4", 38, 39)],
)
def test_images_too_small_for_a_layer_say_what_is_needed(name: str, side: int, needed: int) -> None:
    with torch.device("meta"):
        backbone = build_backbone(name)
        backbone.features(torch.zeros(1, 3, needed, needed))
        with pytest.raises(RecipeError, match=f"image_size = {side} is too small.*needs {needed} or more"):
            backbone.features(torch.zeros(1, 3, side, side))


@pytest.mark.parametrize("name", ["cifar-nin", "cifar-alexnet"])
def test_plain_nets_keep_the_signal_and_every_weight_learns(name: str) -> None:
    """He et al.'s start: the features of unit noise are of order one, and gradients reach all layers alike."""
    with seeded(0, "net"):
        backbone = build_backbone(name).eval()
        features = backbone.features(torch.randn(4, 3, 32, 32))
    assert 0.1 < features.square().mean().sqrt().item() < 10
    assert bool((features >= 0).all()), "a ReLU stands behind the last convolution"
    features.square().mean().backward()
    steps = [p.grad.norm().item() / p.norm().item() for n, p in backbone.named_parameters() if n.endswith("weight")]
    assert min(steps) > 0 and max(steps) / min(steps) < 100


def test_response_normalisation_is_torchs() -> None:
    images = 30 * torch.randn(2, 7, 3, 4)
    torch.testing.assert_close(ResponseNorm()(images), nn.LocalResponseNorm(5)(images))


def test_dropout_is_in_the_nets_that_have_it() -> None:
    for name, dropouts in {
        "cifar-nin": 2,
        "nin-4": 1,
        "cifar-alexnet": 1,
        "alexnet-caffe": 2,
        "cifar-wrn16": 0,
    }.items():
        with torch.device("meta"):
            found = [m for m in build_backbone(name).modules() if isinstance(m, nn.Dropout)]
        assert [m.p for m in found] == [0.5] * dropouts


def test_dropout_is_set_in_every_layer_that_has_it() -> None:
    net = build_backbone("cifar-nin", width=8)
    set_dropout(net, 0.0)
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(net.train()(images), net.eval()(images))
    with pytest.raises(RecipeError, match="no dropout layer"):
        set_dropout(build_backbone("cifar-resnet10", width=4), 0.1)
