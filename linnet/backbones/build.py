"""Backbones by name: Linnet's own, and every timm model."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from torch import nn

from linnet.backbones.base import Backbone
from linnet.backbones.own import OWN, InputDefaults
from linnet.errors import RecipeError, nearest

__all__ = ["InputDefaults", "build_backbone", "default_preprocessing", "set_dropout"]


def build_backbone(
    name: str, *, width: int | None = None, weights: Path | None = None, pretrained: bool = False
) -> Backbone:
    """Build a backbone from its name; initial weights come from torch's current random state.

    Args:
        name: one of `OWN` ("cifar-resnet18", "cifar-nin", ...), or a timm model ("resnet18", "timm:resnet18", with a
            weight tag or without).
        width: channels of the first stage, for the own nets that say so; 64 in the CIFAR ResNets, D = 8 * width.
        weights: a local safetensors file to start from.
        pretrained: start from timm's weights, fetched from the hub.

    Raises:
        RecipeError: the name is unknown (names the nearest), an option does not belong to it, or
            weights cannot be had or do not fit.
    """
    _check_name(name)
    own = OWN.get(name)
    wide = [each for each, net in OWN.items() if net.width is not None]
    if width is not None and (name not in wide or width < 1):
        allowed = "1 or more" if name in wide else f"no width; only {', '.join(wide)} do"
        raise RecipeError(f"width = {width}: backbone {name!r} takes {allowed}")
    if pretrained and weights is not None:
        raise RecipeError(f"backbone {name!r}: give weights = {weights} or pretrained, not both")
    if pretrained and own is not None:
        raise RecipeError(
            f"backbone {name!r} has no weights on the hub: give weights=FILE, or take a timm model, "
            "for example resnet18 or mobilenetv2_100"
        )
    if own is None:
        return _timm(name, weights, pretrained)
    backbone = own.build(width=own.width if width is None else width)
    if weights is not None:
        from linnet.backbones.weights import load_weights

        backbone.start = load_weights(backbone, Path(weights), ignored=own.ignored, renamed=own.renamed)
    return backbone


def set_dropout(backbone: Backbone, share: float) -> None:
    """Let every dropout layer of a net drop this share of its values.

    Raises:
        RecipeError: the net has no such layer.
    """
    layers = [layer for layer in backbone.modules() if isinstance(layer, nn.Dropout)]
    if not layers:
        raise RecipeError(f"dropout = {share:g}: the backbone has no dropout layer; leave the setting out")
    for layer in layers:
        layer.p = share


def _check_name(name: str) -> None:
    if name in OWN:
        return
    import timm

    from linnet.backbones.timm_models import split_stride, timm_names

    model, _ = split_stride(_timm_name(name))
    if not timm.is_model(model):
        close = nearest(model, [*OWN, *timm_names()])
        raise RecipeError(f"backbone {name!r} is unknown{close}; known: {', '.join(OWN)} and every timm model")


def _timm_name(name: str) -> str:
    return name.removeprefix("timm:")


def _timm(name: str, weights: Path | None, pretrained: bool) -> Backbone:
    from linnet.backbones.timm_models import HEADS, TimmBackbone

    backbone = TimmBackbone(_timm_name(name), pretrained=pretrained)
    if weights is not None:
        from linnet.backbones.weights import load_weights

        backbone.start = load_weights(backbone, Path(weights), ignored=HEADS, renamed=("", "net."))
    return backbone


def default_preprocessing(name: str) -> InputDefaults:
    """The input that a backbone's usual weights expect; builds nothing.

    Raises:
        RecipeError: the name is unknown.
    """
    _check_name(name)
    if name in OWN:
        return OWN[name].inputs
    import timm

    known = timm.get_pretrained_cfg(_timm_name(name).partition("@")[0], allow_unregistered=True)
    if known is None:
        return InputDefaults(224, 256, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "bilinear")
    size = known.input_size[1]
    interpolation: Literal["bilinear", "bicubic"] = "bicubic" if known.interpolation == "bicubic" else "bilinear"
    resize = max(size, int(size / known.crop_pct))
    return InputDefaults(size, resize, _three(known.mean), _three(known.std), interpolation)


def _three(values: tuple[float, ...]) -> tuple[float, float, float]:
    red, green, blue = values
    return red, green, blue
