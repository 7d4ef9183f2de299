"""AlexNet, the small one for CIFAR and Caffe's in a single column, up to the layer before the classes."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from linnet.backbones.base import Backbone
from linnet.backbones.plain import convolution, initialise
from linnet.errors import RecipeError

__all__ = ["CaffeAlexNet", "CifarAlexNet", "ResponseNorm"]


class ResponseNorm(nn.Module):
    """Local response normalisation over 5 neighbouring channels: `x / (1 + 1e-4 mean(x^2))^0.75`, as in Caffe.

    The same as `nn.LocalResponseNorm(5)`, whose gradient on a GPU differs from call to call.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, H, W) to the same shape."""
        squares = x.square().flatten(2).unsqueeze(1)
        around = functional.avg_pool2d(squares, (5, 1), stride=1, padding=(2, 0)).reshape(x.shape)
        return x / (1 + 1e-4 * around).pow(0.75)


class _AlexNet(Backbone):
    """Layers one after the other; the fully connected ones are convolutions as large as their input's map."""

    def __init__(self, dim: int, smallest: int, layers: list[nn.Module]) -> None:
        super().__init__(dim)
        self.smallest = smallest
        self.net = nn.Sequential(*layers)
        initialise(self)

    def features(self, images: Tensor) -> Tensor:
        """Feature map (B, D, 1, 1) of images of the net's own size; larger ones give a larger map.

        Raises:
            RecipeError: the images are too small for the fully connected layer.
        """
        if min(images.shape[2:]) < self.smallest:
            raise RecipeError(
                f"image_size = {min(images.shape[2:])} is too small for this AlexNet, whose fully connected layer "
                f"needs {self.smallest} or more"
            )
        features: Tensor = self.net(images)
        return features


class CifarAlexNet(_AlexNet):
    """Three 5x5 convolutions and FC1024 for 32-pixel images, D = 32 * width = 1024; 32 px give a 1 x 1 map.

    Convolutions of 32, 32 and 64 channels, as in cuda-convnet's CIFAR nets, pooling behind each (3x3, stride 2, rounded
    up; the first by maximum, the others by average), then paper 002's FC1024 with ReLU and dropout of one half. No
    response normalisation. `width` scales all channels. 1,128,928 parameters at 32; 36 cells a class in the head,
    the paper's parallel FC36 layers, add 3,690,000 for 100 classes.
    """

    def __init__(self, width: int = 32) -> None:
        """Build with `width` channels in the first convolution, 32 unless given."""
        layers = [
            *convolution(3, width, 5, padding=2),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            *convolution(width, width, 5, padding=2),
            nn.AvgPool2d(3, 2, ceil_mode=True),
            *convolution(width, 2 * width, 5, padding=2),
            nn.AvgPool2d(3, 2, ceil_mode=True),
            *convolution(2 * width, 32 * width, 4),
            nn.Dropout(0.5),
        ]
        super().__init__(32 * width, 32, layers)


class CaffeAlexNet(_AlexNet):
    """Caffe's AlexNet in a single column, up to FC7, D = 4096; 224 or 227 px give a 1 x 1 map.

    Five convolutions without groups, response normalisation behind the first two, FC6 and FC7 with dropout of one half.
    58,281,344 parameters, and 4,097,000 in FC8 of 1000 classes.
    """

    def __init__(self) -> None:
        """Build the network; it has one size."""
        layers = [
            *convolution(3, 96, 11, stride=4),
            ResponseNorm(),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            *convolution(96, 256, 5, padding=2),
            ResponseNorm(),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            *convolution(256, 384, 3, padding=1),
            *convolution(384, 384, 3, padding=1),
            *convolution(384, 256, 3, padding=1),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            *convolution(256, 4096, 6),
            nn.Dropout(0.5),
            *convolution(4096, 4096, 1),
            nn.Dropout(0.5),
        ]
        # 199 px leave 48 places after the first convolution, and pooling 24, 12, 6.
        super().__init__(4096, 199, layers)
