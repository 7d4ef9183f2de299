"""Any timm model as a backbone: its last feature map, without pooling or classifier."""

from __future__ import annotations

import math
from typing import Any

import timm
from torch import Tensor, nn

from linnet.backbones.base import Backbone
from linnet.errors import RecipeError

__all__ = ["HEADS", "TimmBackbone", "split_stride", "timm_names"]

HEADS = (
    "classifier",
    "conv_head",
    "fc",
    "fc_norm",
    "head",
    "head_dist",
    "last_linear",
    "norm_head",
    "pre_logits",
)
"""Where timm's models keep what follows the feature map; removed, so that every parameter learns."""

_IMAGENET_TAGS = ("in1k", "in12k", "in21k", "in22k")


def timm_names() -> list[str]:
    """Names of all timm architectures, without weight tags."""
    return list(timm.list_models())


class TimmBackbone(Backbone):
    """A timm model up to its last feature map, D = its `num_features`.

    A name with "@16" behind it is the model with a map of one place in 16 x 16 pixels: its last stage keeps the size,
    with stride 1 in place of 2 and no dilation, as paper 000 has ResNet-101.

    Maps that come channels-last (Swin) are turned to (B, D, H, W); a transformer's patch tokens are
    laid out on their grid, class and register tokens left out.
    """

    def __init__(self, name: str, *, pretrained: bool = False) -> None:
        """Build the model; `pretrained` fetches timm's weights from the hub.

        Raises:
            RecipeError: the weights cannot be fetched, or the model gives no feature map.
        """
        net = _create(name, pretrained)
        super().__init__(int(net.num_features))
        self.name = name
        self._channels_last = getattr(net, "output_fmt", "NCHW") == "NHWC"
        self._prefix = int(getattr(net, "num_prefix_tokens", 0))
        _remove_heads(net)
        self.net = net
        if pretrained:
            tag = str(net.pretrained_cfg.get("tag") or "in1k")
            self.start = "imagenet" if any(known in tag for known in _IMAGENET_TAGS) else tag

    def features(self, images: Tensor) -> Tensor:
        """Feature map (B, D, H', W') of images (B, 3, H, W); H' and W' are the model's own.

        Raises:
            RecipeError: the model is of a kind that has no single map.
        """
        features = self.net.forward_features(images)
        if isinstance(features, Tensor) and features.ndim == 3:
            features = self._on_grid(features[:, self._prefix :], images.shape[2] / images.shape[3])
        elif self._channels_last and isinstance(features, Tensor):
            features = features.permute(0, 3, 1, 2)
        if not isinstance(features, Tensor) or features.ndim != 4 or features.shape[1] != self.dim:
            raise RecipeError(f"backbone {self.name!r} gives no single feature map; choose another timm model")
        return features

    def _on_grid(self, tokens: Tensor, aspect: float) -> Tensor:
        """Patch tokens (B, T, D) as a map (B, D, H', W') whose sides have the images' height / width."""
        down = max(1, round(math.sqrt(tokens.shape[1] * aspect)))
        if tokens.shape[1] % down:
            raise RecipeError(f"backbone {self.name!r}: its {tokens.shape[1]} tokens lie on no grid; choose another")
        batch, count, dim = tokens.shape
        return tokens.transpose(1, 2).reshape(batch, dim, down, count // down)


def _remove_heads(net: Any) -> None:
    """Drop what follows the feature map; a `conv_head` that widens the map to `num_features` stays."""
    for head in HEADS:
        part_of_map = head == "conv_head" and getattr(net, "head_hidden_size", net.num_features) == net.num_features
        if isinstance(getattr(net, head, None), nn.Module) and not part_of_map:
            setattr(net, head, nn.Identity())


def split_stride(name: str) -> tuple[str, int | None]:
    """A name and the number behind its "@", None without one.

    Raises:
        RecipeError: what stands there is neither 8 nor 16.
    """
    model, mark, stride = name.partition("@")
    if mark and stride not in ("8", "16"):
        raise RecipeError(f"backbone {name!r}: behind @ stands the stride of its map, 8 or 16, as in {model}@16")
    return model, int(stride) if mark else None


def _create(name: str, pretrained: bool) -> Any:
    """The bare timm model, with the stride that its name says."""
    model, stride = split_stride(name)
    options: dict[str, Any] = {"pretrained": pretrained, "num_classes": 0}
    if stride is None:
        return _bare(model, pretrained, options)
    net = _bare(model, pretrained, {**options, "output_stride": stride})
    for part in net.modules():
        if isinstance(part, nn.Conv2d) and part.dilation != (1, 1):
            part.padding, part.dilation = tuple(side // 2 for side in part.kernel_size), (1, 1)
    return net


def _bare(name: str, pretrained: bool, options: dict[str, Any]) -> Any:
    """A few classes refuse to go without pooling, which is then left in and not used."""
    try:
        try:
            return timm.create_model(name, global_pool="", **options)
        except (AssertionError, TypeError):
            return timm.create_model(name, **options)
    except Exception as error:  # the hub client raises many kinds
        if not pretrained:
            raise RecipeError(f"backbone {name!r}: timm cannot build it without its head ({error})") from error
        raise RecipeError(
            f"backbone {name!r}: timm's weights cannot be fetched ({_first_line(error)}). Without a network, "
            "fetch the model's safetensors file elsewhere and give it as weights=FILE, or start from scratch"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
