"""ResNets for small images: He et al. (2016), basic blocks, with a 3x3 stem and no pooling after it."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from linnet.backbones.base import Backbone

__all__ = ["BasicBlock", "CifarResNet"]


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch norm beside a shortcut (a 1x1 convolution where shapes differ)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        """(B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """relu(block(x) + shortcut(x))."""
        y = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        return functional.relu(self.bn2(self.conv2(y)) + self.shortcut(x), inplace=True)


class CifarResNet(Backbone):
    """ResNet for 32-pixel images: widths w, 2w, 4w, 8w, strides 1, 2, 2, 2, D = 8w; 32 px give a 4 x 4 map.

    `blocks` (2, 2, 2, 2) is ResNet-18, (1, 1, 1, 1) ResNet-10. Convolutions start from He et al.'s
    normal initialisation by fan-out, batch norms from 1 and 0.
    """

    def __init__(self, width: int = 64, blocks: tuple[int, int, int, int] = (2, 2, 2, 2)) -> None:
        """Build the network with `width` channels in its first stage."""
        super().__init__(8 * width)
        self.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        stages: list[nn.Module] = []
        inputs = width
        for level, count in enumerate(blocks):
            outputs = width * 2**level
            strides = [1 if level == 0 else 2] + [1] * (count - 1)
            stages.append(
                nn.Sequential(*(BasicBlock(inputs if i == 0 else outputs, outputs, s) for i, s in enumerate(strides)))
            )
            inputs = outputs
        self.stages = nn.Sequential(*stages)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def features(self, images: Tensor) -> Tensor:
        """Feature map (B, 8w, H / 8, W / 8) of images (B, 3, H, W)."""
        stem = functional.relu(self.bn1(self.conv1(images)), inplace=True)
        features: Tensor = self.stages(stem)
        return features
