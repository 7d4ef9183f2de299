"""Network in Network (Lin et al. 2014), up to its last 1x1 convolution, which is the head."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from linnet.backbones.base import Backbone
from linnet.backbones.plain import convolution, initialise
from linnet.errors import RecipeError

__all__ = ["CifarNin", "Nin4"]


class _Nin(Backbone):
    """Layers one after the other; images of `smallest` pixels a side leave one place for the last pooling."""

    def __init__(self, dim: int, smallest: int, layers: list[nn.Module]) -> None:
        super().__init__(dim)
        self.smallest = smallest
        self.net = nn.Sequential(*layers)
        initialise(self)

    def features(self, images: Tensor) -> Tensor:
        """Feature map (B, D, H / 4, W / 4) for `CifarNin`, (B, D, 6, 6) of 224 px for `Nin4`.

        Raises:
            RecipeError: the images are too small for the last pooling.
        """
        if min(images.shape[2:]) < self.smallest:
            raise RecipeError(
                f"image_size = {min(images.shape[2:])} is too small for this NIN, whose last pooling needs "
                f"{self.smallest} or more"
            )
        features: Tensor = self.net(images)
        return features


def _mlpconv(inputs: int, outputs: tuple[int, ...], kernel: int, *, stride: int = 1, padding: int) -> list[nn.Module]:
    """A convolution and 1x1 convolutions behind it, a ReLU after each."""
    layers = convolution(inputs, outputs[0], kernel, stride=stride, padding=padding)
    for before, after in pairwise(outputs):
        layers += convolution(before, after, 1)
    return layers


class CifarNin(_Nin):
    """Three mlpconv blocks for 32-pixel images, D = width; 32 px give an 8 x 8 map.

    Block 1: 5x5 192, 1x1 160, 1x1 96, max pooling; block 2: 5x5 192, 1x1 192 twice, average pooling; block 3: 3x3 192,
    1x1 192; then the head's 1x1 convolution to F maps. Pooling is 3x3 with stride 2, rounded up, dropout of one half
    behind it; a ReLU after every convolution. `width` scales all channels. 965,056 parameters at 192, and 1,930 in a
    head of 10 classes.
    """

    def __init__(self, width: int = 192) -> None:
        """Build with `width` channels in the first convolution, the authors' 192 unless given."""
        narrow, narrower = max(1, round(width * 160 / 192)), max(1, round(width * 96 / 192))
        layers = [
            *_mlpconv(3, (width, narrow, narrower), 5, padding=2),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            nn.Dropout(0.5),
            *_mlpconv(narrower, (width, width, width), 5, padding=2),
            nn.AvgPool2d(3, 2, ceil_mode=True),
            nn.Dropout(0.5),
            *_mlpconv(width, (width, width), 3, padding=1),
        ]
        super().__init__(width, 4, layers)


class Nin4(_Nin):
    """Four mlpconv blocks for 224-pixel images, D = 1024; 224 px give a 6 x 6 map.

    Blocks of 11x11 96 with stride 4, 5x5 256, 3x3 384 and 3x3 1024, two 1x1 convolutions of the same width behind each
    (one in the last, whose second is the head); max pooling between them, 3x3 with stride 2, rounded up; dropout of
    one half before the last. 6,570,176 parameters, and 1,025,000 in a head of 1000 classes.
    """

    def __init__(self) -> None:
        """Build the network; it has one size."""
        layers = [
            *_mlpconv(3, (96, 96, 96), 11, stride=4, padding=0),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            *_mlpconv(96, (256, 256, 256), 5, padding=2),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            *_mlpconv(256, (384, 384, 384), 3, padding=1),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            nn.Dropout(0.5),
            *_mlpconv(384, (1024, 1024), 3, padding=1),
        ]
        super().__init__(1024, 39, layers)
