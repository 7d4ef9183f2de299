"""Backbones by name."""

from __future__ import annotations

from pathlib import Path

from linnet.backbones.base import Backbone
from linnet.backbones.cifar import CifarResNet
from linnet.errors import RecipeError

__all__ = ["build_backbone"]

_CIFAR = {"cifar-resnet10": (1, 1, 1, 1), "cifar-resnet18": (2, 2, 2, 2)}


def build_backbone(
    name: str, *, width: int | None = None, weights: Path | None = None, pretrained: bool = False
) -> Backbone:
    """Build a backbone (for now the CIFAR ResNets).

    Raises:
        RecipeError: the name is unknown.
    """
    if name in _CIFAR:
        return CifarResNet(64 if width is None else width, _CIFAR[name])
    raise RecipeError(f"backbone {name!r} is unknown")
