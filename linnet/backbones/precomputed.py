"""What stands in for a frozen backbone while a method learns from its feature maps."""

from __future__ import annotations

from torch import Tensor

from linnet.backbones.base import Backbone

__all__ = ["Precomputed"]


class Precomputed(Backbone):
    """A backbone whose images are feature maps already; it has no parameters.

    Args:
        frozen: the net that made the maps; gives D and the start weights' name.
    """

    def __init__(self, frozen: Backbone) -> None:
        super().__init__(frozen.dim)
        self.start = frozen.start

    def features(self, images: Tensor) -> Tensor:
        """The feature maps (B, D, H, W) that were given in place of images."""
        return images
