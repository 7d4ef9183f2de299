"""Wide residual networks for small images (Zagoruyko & Komodakis 2016), 16 layers."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from linnet.backbones.base import Backbone

__all__ = ["CifarWrn16", "WideBlock"]


class WideBlock(nn.Module):
    """Batch norm, ReLU and a 3x3 convolution, twice, beside a shortcut, which starts behind the first ReLU.

    Where shapes differ it is a 1x1 convolution; else it is the input itself.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        """(B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        alike = inputs == outputs and stride == 1
        self.shortcut = None if alike else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """block(x) + shortcut."""
        first = functional.relu(self.bn1(x), inplace=True)
        short = x if self.shortcut is None else self.shortcut(first)
        second: Tensor = self.conv2(functional.relu(self.bn2(self.conv1(first)), inplace=True))
        return second + short


class CifarWrn16(Backbone):
    """WRN-16-k for 32-pixel images: stages of 16k, 32k and 64k channels, two blocks each, D = 64k; 32 px give 8 x 8.

    No dropout. Convolutions start from He et al.'s normal initialisation by fan-out. 10,956,240 parameters at k = 8,
    and 5,130 in a head of 10 classes.
    """

    def __init__(self, width: int = 8) -> None:
        """Build the network with k = `width`."""
        super().__init__(64 * width)
        stages: list[nn.Module] = []
        inputs = 16
        for outputs, stride in ((16 * width, 1), (32 * width, 2), (64 * width, 2)):
            stages += [WideBlock(inputs, outputs, stride), WideBlock(outputs, outputs, 1)]
            inputs = outputs
        self.stem = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.stages = nn.Sequential(*stages)
        self.norm = nn.BatchNorm2d(inputs)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def features(self, images: Tensor) -> Tensor:
        """Feature map (B, 64k, H / 4, W / 4) of images (B, 3, H, W)."""
        return functional.relu(self.norm(self.stages(self.stem(images))), inplace=True)
