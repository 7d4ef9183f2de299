"""What every engine is: something that runs a bundle's `predict` on batches, named and of a known precision."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from linnet.methods.base import Method, Prediction

__all__ = ["OUTPUTS", "CannotRunError", "Engine", "Predict", "outputs_of", "prediction", "told"]

OUTPUTS = ("embedding", "coarse_logits", "fine_logits")
"""What a method may say, by the names that a graph's outputs have, in their order."""


class CannotRunError(Exception):
    """An engine cannot run a method on this machine; says why, in a few words."""


class Engine(Protocol):
    """Runs one method. `name` is what opened it, `precision` what it multiplies in: "float32", "bfloat16", "int8"."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def precision(self) -> str: ...  # noqa: D102

    def __call__(self, images: Tensor) -> Prediction:
        """Normalised images float32 (B, 3, S, S), B at least 0, to what the method says of them, float32 on the CPU."""
        ...


class Predict(nn.Module):
    """A method's `predict` as a module whose output is a tuple of what there is, in the order of `OUTPUTS`."""

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.method = method

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Images (B, 3, S, S) to embedding (B, D), then logits (B, C) and (B, F) where there are any."""
        said = self.method.predict(images)
        return tuple(value for name in OUTPUTS if (value := getattr(said, name)) is not None)


@torch.inference_mode()
def outputs_of(method: Method, size: int) -> tuple[str, ...]:
    """Which of `OUTPUTS` a method has, seen on a black image of `size` pixels."""
    device = next(method.parameters()).device
    said = method.predict(torch.zeros(1, 3, size, size, device=device))
    return tuple(name for name in OUTPUTS if getattr(said, name) is not None)


def prediction(names: tuple[str, ...], values: list[Tensor]) -> Prediction:
    """Outputs, in the order of their names, as a `Prediction` in float32 on the CPU."""
    whole = {name: value.float().cpu() for name, value in zip(names, values, strict=True)}
    return Prediction(whole["embedding"], whole.get("coarse_logits"), whole.get("fine_logits"))


def told(images: Tensor, size: int) -> Tensor:
    """The images, refused unless (B, 3, size, size).

    Raises:
        ValueError: another shape.
    """
    if images.ndim != 4 or tuple(images.shape[1:]) != (3, size, size):
        raise ValueError(f"images {tuple(images.shape)}: an engine of this bundle takes (B, 3, {size}, {size})")
    return images
