"""Several nets side by side as one backbone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from linnet.backbones.base import Backbone

__all__ = ["Together"]


class Together(Backbone):
    """The feature maps of N nets of one kind, one after the other: D is the sum of theirs.

    Args:
        nets: at least one, all with maps of one size.
    """

    def __init__(self, nets: Sequence[Backbone]) -> None:
        super().__init__(sum(net.dim for net in nets))
        self.start = nets[0].start
        self.nets = nn.ModuleList(nets)

    def features(self, images: Tensor) -> Tensor:
        """Feature maps (B, D, H, W) of images; every net runs."""
        return torch.cat([self.net(number).features(images) for number in range(len(self.nets))], 1)

    def net(self, number: int) -> Backbone:
        """One of the nets, counted from 0."""
        net = self.nets[number]
        assert isinstance(net, Backbone)
        return net

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile every net by itself: training runs them at different times."""
        for number in range(len(self.nets)):
            self.net(number).compile(*args, **kwargs)
