"""Linnet's own nets by name: how wide each is and what input it was made for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any, Literal

from linnet.backbones.base import Backbone

__all__ = ["OWN", "InputDefaults", "OwnNet"]


@dataclass(frozen=True)
class InputDefaults:
    """The input a backbone was made for, with the names and units of `linnet.images.Preprocessing`."""

    size: int
    resize: int | None
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: Literal["bilinear", "bicubic"]


@dataclass(frozen=True)
class OwnNet:
    """One of Linnet's own nets.

    Attributes:
        build: makes the net, of a given width where it has one.
        width: its usual width, None where it has one size only.
        inputs: what it was made for.
        ignored: first parts of names that a file of weights may hold and the net has not (classifiers).
        renamed: (prefix in such a file, prefix in the net).
    """

    build: Callable[..., Backbone]
    width: int | None
    inputs: InputDefaults
    ignored: tuple[str, ...] = ()
    renamed: tuple[str, str] = ("", "")


def _make(module: str, name: str, *more: Any, width: int | None = None) -> Backbone:
    """A net from its module, which is loaded only then."""
    sizes = () if width is None else (width,)
    net: Backbone = getattr(import_module(f"linnet.backbones.{module}"), name)(*sizes, *more)
    return net


# Mean and deviation of CIFAR-100's training images, and of ImageNet's.
_CIFAR = InputDefaults(32, None, (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762), "bilinear")
_IMAGENET = InputDefaults(224, 256, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "bilinear")
_HALVES = InputDefaults(224, 256, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "bilinear")

OWN: dict[str, OwnNet] = {
    "cifar-resnet10": OwnNet(partial(_make, "cifar", "CifarResNet", (1, 1, 1, 1)), 64, _CIFAR),
    "cifar-resnet18": OwnNet(partial(_make, "cifar", "CifarResNet", (2, 2, 2, 2)), 64, _CIFAR),
    "cifar-nin": OwnNet(partial(_make, "nin", "CifarNin"), 192, _CIFAR),
    "cifar-alexnet": OwnNet(partial(_make, "alexnet", "CifarAlexNet"), 32, _CIFAR),
    "cifar-wrn16": OwnNet(partial(_make, "wrn", "CifarWrn16"), 8, _CIFAR),
    "nin-4": OwnNet(partial(_make, "nin", "Nin4"), None, _IMAGENET),
    "alexnet-caffe": OwnNet(partial(_make, "alexnet", "CaffeAlexNet"), None, _IMAGENET),
    "mobilenet_v2": OwnNet(
        partial(_make, "mobilenet", "MobileNetV2"), None, _HALVES, ("classifier",), ("features.", "net.")
    ),
}
"""By backbone name."""
