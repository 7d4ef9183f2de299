"""Grad-CAM against captum's, against a literal transcription, and in a case that can be worked out by hand."""

from __future__ import annotations

import pytest
import torch
from captum.attr import LayerGradCam
from torch import Tensor, nn

from linnet.backbones import Backbone, build_backbone
from linnet.backbones.whitening import whitened
from linnet.explain.gradcam import grad_cam
from linnet.methods import method_class
from linnet.methods.base import Method, Prediction
from linnet.randomness import seeded, torch_generator
from tests.methods.check import make_task
from tests.reference import gradcam as reference

NETS = {
    "cifar-resnet10": ({"width": 4}, 16),
    "cifar-nin": ({}, 32),
    "mobilenet_v2": ({}, 64),
    "timm:resnet10t": ({}, 64),
    "timm:vit_tiny_patch16_224": ({}, 224),
}


class Features(nn.Module):
    """A backbone's feature map as a layer that hooks can take hold of."""

    def __init__(self, net: Backbone) -> None:
        super().__init__()
        self.plain = net.features

    def forward(self, images: Tensor) -> Tensor:
        return self.plain(images)


def build(name: str, net: Backbone) -> Method:
    chosen = method_class(name)
    with seeded(0, "head"):
        return chosen(net, make_task(), chosen.Options()).eval()


def make_net(name: str, whitening: str = "none") -> tuple[Backbone, Tensor]:
    options, side = NETS[name]
    with seeded(1, "net"):
        net = whitened(build_backbone(name, **options), whitening, side)  # type: ignore[arg-type]
    return net, torch.rand(3, 3, side, side, generator=torch_generator(0, "images"))


def fine(classes: Tensor):  # type: ignore[no-untyped-def]
    def score(said: Prediction) -> Tensor:
        assert said.fine_logits is not None
        return said.fine_logits.gather(1, classes[:, None])[:, 0]

    return score


def captums(method: Method, layer: nn.Module, images: Tensor, classes: Tensor, head: str = "fine_logits") -> Tensor:
    """captum's map (B, H, W)."""
    found = LayerGradCam(lambda x: getattr(method.predict(x), head), layer).attribute(
        images, target=classes, relu_attributions=True
    )
    return found.detach()[:, 0]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("name", NETS)
def test_equals_captums(name: str, layout: torch.memory_format) -> None:
    net, images = make_net(name)
    method, images = build("min-pool", net).to(memory_format=layout), images.to(memory_format=layout)
    classes = method.predict(images).fine_logits.argmax(1)  # type: ignore[union-attr]
    found = grad_cam(method, images, fine(classes))
    layer = Features(net)
    object.__setattr__(net, "features", layer)  # as a layer, yet found before the method of that name
    torch.testing.assert_close(found, captums(method, layer, images, classes), rtol=1e-4, atol=1e-6)
    assert float(found.amax((1, 2)).min()) > 0


@pytest.mark.parametrize("kind", ["gcn", "zca"])
def test_sees_through_whitening_and_to_a_coarse_class(kind: str) -> None:
    net, images = make_net("cifar-resnet10", kind)
    method, classes = build("min-pool", net), torch.tensor([0, 1, 2])
    found = grad_cam(method, images, lambda said: said.coarse_logits.gather(1, classes[:, None])[:, 0])  # type: ignore[union-attr]
    layer = Features(net)
    object.__setattr__(net, "features", layer)
    expected = captums(method, layer, images, classes, "coarse_logits")
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_a_map_of_one_place_gives_way_to_the_layer_before() -> None:
    """AlexNet's fully connected layer has no place left; the pooling before it has 4 x 4."""
    with seeded(0, "net"):
        net = build_backbone("cifar-alexnet", width=4)
    method, classes = build("min-pool", net), torch.tensor([1, 4])
    images = torch.rand(2, 3, 32, 32, generator=torch_generator(0, "images"))
    found = grad_cam(method, images, fine(classes))
    pooling = [layer for layer in net.net if isinstance(layer, nn.AvgPool2d)][-1]  # type: ignore[union-attr]
    assert found.shape == (2, 4, 4)
    torch.testing.assert_close(found, captums(method, pooling, images, classes), rtol=1e-4, atol=1e-7)


def test_equals_the_transcription() -> None:
    """In float64, with the gradient by finite differences; a logit that is not linear in the features."""
    net, images = make_net("cifar-resnet10")
    method = build("any-level", net).double()
    features = method.backbone.features(images.double()).detach()

    def squashed(said: Prediction) -> Tensor:
        return torch.log_softmax(said.fine_logits, 1)[:, 3]  # type: ignore[arg-type]

    def score(of_image: Tensor) -> Tensor:
        with torch.no_grad():
            net.features = lambda _: of_image[None]  # type: ignore[method-assign]
            return squashed(method.predict(images[:1].double()))[0]

    expected = torch.stack([reference.grad_cam(each, score) for each in features])
    del net.features
    found = grad_cam(method, images.double(), squashed)
    torch.testing.assert_close(found, expected.float(), rtol=1e-4, atol=1e-8)


def test_a_linear_head_on_pooled_features_by_hand() -> None:
    """The slope of w . mean(F) by each place is w / P, so the map is max(0, w . F) / P."""
    net, images = make_net("cifar-resnet10")
    method = build("fine", net)
    net.features = lambda _: torch.tensor([[[[1.0, 2.0]], [[3.0, -1.0]]]])  # type: ignore[method-assign]
    method.fine_head.weight.data = torch.tensor([[2.0, 1.0], [-1.0, 0.5], *[[0.0, 0.0]] * 4])  # type: ignore[union-attr]
    for number, by_hand in enumerate([[2.5, 1.5], [0.25, 0.0]]):  # (2+3, 4-1) / 2; (-1+1.5, -2-.5) / 2, cut
        torch.testing.assert_close(
            grad_cam(method, images[:1], fine(torch.tensor([number]))), torch.tensor([[by_hand]])
        )


def test_leaves_the_method_as_it_was() -> None:
    net, images = make_net("cifar-resnet10")
    method = build("fine", net)
    before = method.predict(images).embedding
    grad_cam(method, images, fine(torch.tensor([0, 1, 2])))
    assert "features" not in vars(net)
    assert all(parameter.grad is None for parameter in method.parameters())
    assert not any(layer._forward_hooks for layer in method.modules())
    torch.testing.assert_close(method.predict(images).embedding, before, rtol=0, atol=0)
    with pytest.raises(ValueError, match="does not depend on a feature map"):
        grad_cam(method, images, lambda said: torch.zeros(3))
    assert "features" not in vars(net)
