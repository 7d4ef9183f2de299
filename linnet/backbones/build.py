"""Backbones by name: the CIFAR ResNets, MobileNetV2, and every timm model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from linnet.backbones.base import Backbone
from linnet.errors import RecipeError, nearest

__all__ = ["CIFAR_BLOCKS", "InputDefaults", "build_backbone", "default_preprocessing"]

CIFAR_BLOCKS: dict[str, tuple[int, int, int, int]] = {
    "cifar-resnet10": (1, 1, 1, 1),
    "cifar-resnet18": (2, 2, 2, 2),
}
"""Blocks of each stage, by backbone name."""


@dataclass(frozen=True)
class InputDefaults:
    """The input a backbone was made for, with the names and units of `linnet.images.Preprocessing`."""

    size: int
    resize: int | None
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: Literal["bilinear", "bicubic"]


def build_backbone(
    name: str, *, width: int | None = None, weights: Path | None = None, pretrained: bool = False
) -> Backbone:
    """Build a backbone from its name; initial weights come from torch's current random state.

    Args:
        name: "cifar-resnet18", "cifar-resnet10", "mobilenet_v2", or a timm model ("resnet18",
            "timm:resnet18", with a weight tag or without).
        width: channels of the CIFAR ResNets' first stage, 64 when not given; D = 8 * width. No other
            takes it.
        weights: a local safetensors file to start from.
        pretrained: start from timm's weights, fetched from the hub.

    Raises:
        RecipeError: the name is unknown (names the nearest), an option does not belong to it, or
            weights cannot be had or do not fit.
    """
    kind = _kind(name)
    if width is not None and (kind != "cifar" or width < 1):
        allowed = "1 or more" if kind == "cifar" else f"no width; only {', '.join(CIFAR_BLOCKS)} do"
        raise RecipeError(f"width = {width}: backbone {name!r} takes {allowed}")
    if pretrained and weights is not None:
        raise RecipeError(f"backbone {name!r}: give weights = {weights} or pretrained, not both")
    if pretrained and kind != "timm":
        raise RecipeError(
            f"backbone {name!r} has no weights on the hub: give weights=FILE, or take a timm model, "
            "for example resnet18 or mobilenetv2_100"
        )
    backbone = _build(name, kind, 64 if width is None else width, pretrained)
    if weights is not None:
        backbone.start = _load(backbone, kind, Path(weights))
    return backbone


def _kind(name: str) -> Literal["cifar", "mobilenet", "timm"]:
    if name in CIFAR_BLOCKS:
        return "cifar"
    if name == "mobilenet_v2":
        return "mobilenet"
    import timm

    from linnet.backbones.timm_models import timm_names

    if timm.is_model(_timm_name(name)):
        return "timm"
    own = [*CIFAR_BLOCKS, "mobilenet_v2"]
    close = nearest(_timm_name(name), [*own, *timm_names()])
    raise RecipeError(f"backbone {name!r} is unknown{close}; known: {', '.join(own)} and every timm model")


def _timm_name(name: str) -> str:
    return name.removeprefix("timm:")


def _build(name: str, kind: str, width: int, pretrained: bool) -> Backbone:
    if kind == "cifar":
        from linnet.backbones.cifar import CifarResNet

        return CifarResNet(width, CIFAR_BLOCKS[name])
    if kind == "mobilenet":
        from linnet.backbones.mobilenet import MobileNetV2

        return MobileNetV2()
    from linnet.backbones.timm_models import TimmBackbone

    return TimmBackbone(_timm_name(name), pretrained=pretrained)


def _load(backbone: Backbone, kind: str, weights: Path) -> str:
    from linnet.backbones.weights import load_weights

    if kind == "cifar":
        return load_weights(backbone, weights, ignored=())
    if kind == "mobilenet":
        return load_weights(backbone, weights, ignored=("classifier",), renamed=("features.", "net."))
    from linnet.backbones.timm_models import HEADS

    return load_weights(backbone, weights, ignored=HEADS, renamed=("", "net."))


def default_preprocessing(name: str) -> InputDefaults:
    """The input that a backbone's usual weights expect; builds nothing.

    Raises:
        RecipeError: the name is unknown.
    """
    kind = _kind(name)
    if kind == "cifar":  # mean and deviation of CIFAR-100's training images
        return InputDefaults(32, None, (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762), "bilinear")
    if kind == "mobilenet":
        return InputDefaults(224, 256, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "bilinear")
    import timm

    known = timm.get_pretrained_cfg(_timm_name(name), allow_unregistered=True)
    if known is None:
        return InputDefaults(224, 256, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "bilinear")
    size = known.input_size[1]
    interpolation: Literal["bilinear", "bicubic"] = "bicubic" if known.interpolation == "bicubic" else "bilinear"
    resize = max(size, int(size / known.crop_pct))
    return InputDefaults(size, resize, _three(known.mean), _three(known.std), interpolation)


def _three(values: tuple[float, ...]) -> tuple[float, float, float]:
    red, green, blue = values
    return red, green, blue
