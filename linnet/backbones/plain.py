"""What the nets without batch norm share: a convolution with a ReLU behind it, from He et al.'s initial weights."""

from __future__ import annotations

from torch import nn

__all__ = ["convolution", "initialise"]


def convolution(inputs: int, outputs: int, kernel: int, *, stride: int = 1, padding: int = 0) -> list[nn.Module]:
    """A convolution with bias, then ReLU, as layers."""
    return [nn.Conv2d(inputs, outputs, kernel, stride, padding), nn.ReLU(inplace=True)]


def initialise(net: nn.Module) -> None:
    """He et al. (2015), normal by fan-in, biases 0.

    The originals' Gaussians of fixed deviation (0.05 in NIN) lose the signal within a few layers and need hand-set
    learning rates for every layer.
    """
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
