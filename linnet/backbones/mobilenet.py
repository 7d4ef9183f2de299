"""torchvision's MobileNetV2 with TensorFlow's padding, which its freely licensed weights need."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import mobilenet_v2

from linnet.backbones.base import Backbone

__all__ = ["MobileNetV2", "SameConv2d"]


class SameConv2d(nn.Conv2d):
    """A 3x3, stride-2 convolution, TensorFlow's SAME padding: (0, 1) on even sides, (1, 1) on odd ones."""

    @classmethod
    def like(cls, conv: nn.Conv2d) -> SameConv2d:
        """A convolution with the shape and the very parameters of `conv`."""
        new = cls(
            conv.in_channels,
            conv.out_channels,
            3,
            stride=2,
            padding=0,
            groups=conv.groups,
            bias=conv.bias is not None,
        )
        new.weight, new.bias = conv.weight, conv.bias
        return new

    def forward(self, input: Tensor) -> Tensor:
        """(B, I, H, W) to (B, O, ceil(H / 2), ceil(W / 2))."""
        height, width = input.shape[2:]
        return super().forward(functional.pad(input, (width % 2, 1, height % 2, 1)))


class MobileNetV2(Backbone):
    """MobileNetV2 1.0 (Sandler et al. 2018) up to its last convolution, D = 1280; 224 px give a 7 x 7 map.

    Parameter names are torchvision's.
    """

    def __init__(self) -> None:
        """Build with torchvision's initialisation."""
        super().__init__(1280)
        self.net = mobilenet_v2(weights=None).features
        for parent in list(self.net.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, nn.Conv2d) and child.stride == (2, 2):
                    setattr(parent, name, SameConv2d.like(child))

    def features(self, images: Tensor) -> Tensor:
        """Feature map (B, 1280, H / 32, W / 32) of images (B, 3, H, W)."""
        features: Tensor = self.net(images)
        return features
