"""Grad-CAM (Selvaraju et al. 2017): which places of the last feature map speak for a class."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from linnet.backbones import Backbone
from linnet.methods.base import Method, Prediction

__all__ = ["Score", "grad_cam"]

Score = Callable[[Prediction], Tensor]
"""What a method says of B images to the number (B,) that is to be explained, a class's logit say."""


def grad_cam(method: Method, images: Tensor, score: Score) -> Tensor:
    """Grad-CAM of a score on the net's last feature map.

        a_d = mean over places of dS / dF_d,    G(h, w) = max(0, sum_d a_d F_d(h, w))

    (Selvaraju et al. 2017, Eq. 1-2.) The map is that of `backbone.features`. Where it has a single place, as behind
    AlexNet's fully connected layers, the last layer before it with more places stands in for it. Of several nets, the
    channels of all count as channels of one map. Nothing before the map is differentiated.

    Args:
        method: in eval mode; not within `torch.inference_mode`.
        images: (B, 3, S, S), as for `predict`, in any memory format.
        score: the logit to explain.

    Returns:
        (B, H, W) float32, at least 0, not scaled. 0 where nothing speaks for the class.

    Raises:
        ValueError: the score does not depend on any feature map, or nets have maps of several sizes.
    """
    nets = [module for module in method.modules() if isinstance(module, Backbone) and not _holds_another(module)]
    features, slopes = _features_and_slopes(method, images, score, dict.fromkeys(nets))
    if features.shape[2:].numel() == 1:
        layers = {net: _last_with_places(method, net, images) for net in nets}
        if all(layers.values()):
            features, slopes = _features_and_slopes(method, images, score, layers)
    weights = slopes.mean(dim=(2, 3))
    return torch.einsum("bd,bdhw->bhw", weights, features).clamp(min=0)


def _holds_another(net: Backbone) -> bool:
    """Whether a backbone passes its images on to one within it, which then gives the map."""
    return any(isinstance(part, Backbone) for part in net.modules() if part is not net)


def _features_and_slopes(
    method: Method, images: Tensor, score: Score, layers: dict[Backbone, nn.Module | None]
) -> tuple[Tensor, Tensor]:
    """Feature maps (B, D, H, W) and the score's derivative by them, float32, of all nets that the score looks at."""
    with torch.enable_grad(), ExitStack() as stack:
        kept: list[Tensor] = []
        for net, layer in layers.items():
            stack.enter_context(_cut(net, kept) if layer is None else _cut_layer(layer, kept))
        total = score(method.predict(images)).sum()
        if not kept or not total.requires_grad:
            raise ValueError("the score does not depend on a feature map")
        slopes: tuple[Tensor | None, ...] = torch.autograd.grad(total, kept, allow_unused=True)
    used = [(one.detach(), slope) for one, slope in zip(kept, slopes, strict=True) if slope is not None]
    if not used or len({one.shape[2:] for one, _ in used}) > 1:
        raise ValueError(f"feature maps of shapes {[tuple(one.shape) for one, _ in used]}; need one size")
    return torch.cat([one for one, _ in used], 1).float(), torch.cat([slope for _, slope in used], 1).float()


@contextmanager
def _cut(net: Backbone, kept: list[Tensor]) -> Iterator[None]:
    """Meanwhile keep the net's feature maps, and let differentiation end there."""
    plain, own = net.features, "features" in net.__dict__

    def features(images: Tensor) -> Tensor:
        with torch.no_grad():
            found = plain(images)
        return _leaf(found, kept)

    net.features = features  # type: ignore[method-assign]
    try:
        yield
    finally:
        if own:  # a compiled net
            net.features = plain  # type: ignore[method-assign]
        else:
            del net.__dict__["features"]


@contextmanager
def _cut_layer(layer: nn.Module, kept: list[Tensor]) -> Iterator[None]:
    """The same at the output of a layer within the net."""
    handle = layer.register_forward_hook(lambda _, __, output: _leaf(output, kept))
    try:
        yield
    finally:
        handle.remove()


def _leaf(features: Tensor, kept: list[Tensor]) -> Tensor:
    """Start differentiation here; what goes on is a copy, for layers that work in place."""
    kept.append(features.detach().requires_grad_())
    return kept[-1].clone()


@torch.no_grad()
def _last_with_places(method: Method, net: Backbone, images: Tensor) -> nn.Module | None:
    """The layer of a net that is the last to give a map (B, D, H, W) of more than one place; None if none does."""
    found: list[nn.Module] = []

    def look(layer: nn.Module, _: object, output: object) -> None:
        if isinstance(output, Tensor) and output.ndim == 4 and output.shape[2:].numel() > 1:
            found.append(layer)

    inner = [layer for layer in net.modules() if not any(layer.children())]
    handles = [layer.register_forward_hook(look) for layer in inner]
    try:
        method.predict(images[:1])
    finally:
        for handle in handles:
            handle.remove()
    return found[-1] if found else None
