"""Backbones by name: shapes, gradients, memory formats, weights from files, errors with a remedy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from linnet.backbones import Backbone, build_backbone, default_preprocessing
from linnet.backbones.mobilenet import SameConv2d
from linnet.errors import RecipeError
from linnet.randomness import seeded

SMALL = {  # name and options, input side, D, sides of the map
    "cifar-resnet18": ({"width": 8}, 32, 64, 4),
    "cifar-resnet10": ({"width": 4}, 16, 32, 2),
    "cifar-nin": ({"width": 12}, 32, 12, 8),
    "cifar-alexnet": ({"width": 2}, 32, 64, 1),
    "cifar-wrn16": ({"width": 1}, 16, 64, 4),
    "mobilenet_v2": ({}, 64, 1280, 2),
    "timm:resnet18": ({}, 64, 512, 2),
    "mobilenetv3_small_050": ({}, 64, 288, 2),
    "test_vit": ({}, 160, 64, 10),
    "test_convnext": ({}, 64, 64, 2),
}


def build(name: str) -> Backbone:
    with seeded(0, "backbone"):
        return build_backbone(name, **SMALL[name][0])  # type: ignore[arg-type]


@pytest.mark.parametrize("name", SMALL)
def test_every_backbone_keeps_the_contract(name: str) -> None:
    _, size, dim, side = SMALL[name]
    backbone = build(name)
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    features = backbone.features(images)
    assert features.shape == (2, dim, side, side) and backbone.dim == dim and backbone.start == "scratch"
    backbone(images).square().sum().backward()
    assert [key for key, value in backbone.named_parameters() if value.grad is None] == []
    backbone.eval()
    with torch.no_grad():
        embedding = backbone(images)
        np.testing.assert_allclose(embedding, backbone.features(images).mean((2, 3)), atol=1e-6)
        other = backbone.to(memory_format=torch.channels_last)(images.to(memory_format=torch.channels_last))
    np.testing.assert_allclose(embedding, other, atol=1e-3, rtol=1e-3)


def test_the_cifar_resnet18_is_the_papers() -> None:
    backbone = build_backbone("cifar-resnet18")
    assert backbone.dim == 512
    assert sum(value.numel() for value in backbone.parameters()) == 11_168_832
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d):
            wanted = (2 / (module.out_channels * module.kernel_size[0] ** 2)) ** 0.5
            assert module.weight.std().item() == pytest.approx(wanted, rel=0.1)


def test_same_seed_same_weights() -> None:
    one, two = build("cifar-resnet18").state_dict(), build("cifar-resnet18").state_dict()
    assert all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.parametrize(("side", "pad"), [(8, (0, 1, 0, 1)), (7, (1, 1, 1, 1))])
def test_same_padding_is_tensorflows(side: int, pad: tuple[int, int, int, int]) -> None:
    conv = nn.Conv2d(2, 4, 3, stride=2, padding=1, bias=False)
    images = torch.randn(1, 2, side, side)
    wanted = nn.functional.conv2d(nn.functional.pad(images, pad), conv.weight, stride=2)
    assert torch.equal(SameConv2d.like(conv)(images), wanted)


def test_mobilenet_pads_every_stride_two_convolution() -> None:
    strided = [m for m in build("mobilenet_v2").modules() if isinstance(m, nn.Conv2d) and m.stride == (2, 2)]
    assert len(strided) == 5 and all(isinstance(module, SameConv2d) for module in strided)


@pytest.mark.parametrize("name", ["cifar-resnet10", "mobilenet_v2", "mobilenetv3_small_050"])
def test_weights_come_from_a_file_without_their_classifier(tmp_path: Path, name: str) -> None:
    original = build(name)
    tensors = dict(original.state_dict())
    if name != "cifar-resnet10":
        prefix = "features." if name == "mobilenet_v2" else ""
        tensors = {prefix + key.removeprefix("net."): value for key, value in tensors.items()}
        tensors["classifier.weight"] = torch.zeros(10, original.dim)
    save_file({key: value.clone() for key, value in tensors.items()}, tmp_path / "weights.safetensors")
    loaded = build_backbone(name, weights=tmp_path / "weights.safetensors", **SMALL[name][0])  # type: ignore[arg-type]
    assert loaded.start == "weights.safetensors"
    assert all(torch.equal(value, original.state_dict()[key]) for key, value in loaded.state_dict().items())


def test_a_file_that_says_imagenet_marks_the_start(tmp_path: Path) -> None:
    tensors = {key: value.clone() for key, value in build("cifar-resnet10").state_dict().items()}
    save_file(tensors, tmp_path / "some.safetensors", {"note": "trained on ImageNet-1k"})
    loaded = build_backbone("cifar-resnet10", width=4, weights=tmp_path / "some.safetensors")
    assert loaded.start == "imagenet"


def test_weights_that_do_not_fit_are_listed(tmp_path: Path) -> None:
    tensors = {key: value.clone() for key, value in build("cifar-resnet10").state_dict().items()}
    tensors["extra.weight"] = tensors.pop("bn1.weight")
    save_file(tensors, tmp_path / "odd.safetensors")
    with pytest.raises(RecipeError) as caught:
        build_backbone("cifar-resnet10", width=4, weights=tmp_path / "odd.safetensors")
    assert "bn1.weight: missing in the file" in str(caught.value)
    assert "extra.weight: not in the network" in str(caught.value)
    with pytest.raises(RecipeError, match=r"conv1.weight: \(4, 3, 3, 3\) in the file, \(8, 3, 3, 3\)"):
        build_backbone("cifar-resnet10", width=8, weights=tmp_path / "odd.safetensors")
    (tmp_path / "pickled.pt").write_bytes(b"\x80\x02}q\x00.")
    with pytest.raises(RecipeError, match="not a safetensors file"):
        build_backbone("cifar-resnet10", weights=tmp_path / "pickled.pt")
    with pytest.raises(RecipeError, match="no such file"):
        build_backbone("cifar-resnet10", weights=tmp_path / "none.safetensors")


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("cifar-resnet81", {}, "did you mean 'cifar-resnet18'"),
        ("resnet_18", {}, "did you mean 'resnet18'"),
        ("timm:resnet_18", {}, "did you mean 'resnet18'"),
        ("resnet18", {"width": 8}, "takes no width"),
        ("nin-4", {"width": 8}, "takes no width; only cifar-resnet10, .*cifar-wrn16 do"),
        ("cifar-resnet18", {"width": 0}, "1 or more"),
        ("mobilenet_v2", {"pretrained": True}, "no weights on the hub"),
        ("resnet18", {"pretrained": True, "weights": Path("x")}, "not both"),
    ],
)
def test_mistakes_name_the_remedy(name: str, options: dict[str, object], text: str) -> None:
    with pytest.raises(RecipeError, match=text):
        build_backbone(name, **options)  # type: ignore[arg-type]


def test_a_hub_out_of_reach_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    import timm

    def unreachable(*_: object, **__: object) -> None:
        raise OSError("Name or service not known\nmore")

    monkeypatch.setattr(timm, "create_model", unreachable)
    with pytest.raises(RecipeError, match=r"cannot be fetched \(Name or service not known\).*weights=FILE"):
        build_backbone("resnet18", pretrained=True)


def test_a_model_without_one_map_says_so() -> None:
    with torch.device("meta"), pytest.raises(RecipeError, match="no single feature map"):
        build_backbone("crossvit_9_240").features(torch.zeros(1, 3, 240, 240))


@pytest.mark.parametrize(
    ("name", "size", "shape"),
    [
        ("swin_tiny_patch4_window7_224", 224, (2, 768, 7, 7)),
        ("deit_tiny_distilled_patch16_224", 224, (2, 192, 14, 14)),
        ("efficientnet_b0", 96, (2, 1280, 3, 3)),
        ("vgg11", 96, (2, 512, 3, 3)),
        ("inception_v3", 299, (2, 2048, 8, 8)),
        ("resnet50", 224, (2, 2048, 7, 7)),
        ("vgg19", 224, (2, 512, 7, 7)),
        ("vgg19", 32, (2, 512, 1, 1)),
        ("vgg19_bn", 32, (2, 512, 1, 1)),
    ],
)
def test_timm_models_of_every_layout_give_one_map(name: str, size: int, shape: tuple[int, ...]) -> None:
    with torch.device("meta"):
        backbone = build_backbone(name)
        backbone(torch.zeros(2, 3, size, size)).sum().backward()
        assert backbone.eval().features(torch.zeros(2, 3, size, size)).shape == shape
    assert [key for key, value in backbone.named_parameters() if value.grad is None] == []


def test_a_last_stage_that_keeps_the_size() -> None:
    """Of the very weights, without dilation: what paper 000 does to ResNet-101."""
    with seeded(0, "backbone"):
        plain = build_backbone("resnet18")
    large = build_backbone("resnet18@16")
    large.load_state_dict(plain.state_dict())
    images = torch.randn(1, 3, 64, 64)
    assert large(images).shape == plain(images).shape
    assert large.features(images).shape == (1, 512, 4, 4)
    strides = {part.dilation for part in large.modules() if isinstance(part, nn.Conv2d)}
    assert strides == {(1, 1)}
    assert default_preprocessing("resnet18.a1_in1k@16") == default_preprocessing("resnet18.a1_in1k")
    with pytest.raises(RecipeError, match=r"8 or 16, as in resnet18@16"):
        build_backbone("resnet18@4")


def test_default_inputs() -> None:
    assert default_preprocessing("cifar-resnet18").size == 32
    assert default_preprocessing("mobilenet_v2").mean == (0.5, 0.5, 0.5)
    assert default_preprocessing("timm:resnet18").mean == (0.485, 0.456, 0.406)
    with pytest.raises(RecipeError, match="unknown"):
        default_preprocessing("nothing")


def test_compiling_reaches_the_feature_map_and_renames_nothing() -> None:
    graphs: list[object] = []

    def backend(graph: torch.fx.GraphModule, _: object) -> object:
        graphs.append(graph)
        return graph.forward

    plain, compiled = build("cifar-resnet10").eval(), build("cifar-resnet10").eval()
    compiled.compile(backend=backend)
    images = torch.randn(2, 3, 16, 16)
    assert torch.equal(compiled.features(images), plain.features(images))
    assert graphs and list(compiled.state_dict()) == list(plain.state_dict())
    assert torch.equal(compiled(images), plain(images)) and len(graphs) == 1
