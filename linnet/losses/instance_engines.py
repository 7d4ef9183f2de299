"""The engines of the instance head by name, and which one "auto" takes."""

from __future__ import annotations

from torch import Tensor

from linnet.losses.instance_blocks import Engine
from linnet.losses.instance_torch import TorchEngine

__all__ = ["find_engine"]


def find_engine(name: str, weight: Tensor) -> Engine:
    """The engine for weights of this device and type; "auto" is the fastest that is there.

    Raises:
        ValueError: no such engine.
    """
    if name not in {"auto", "torch"}:
        raise ValueError(f"engine = {name!r}: choose one of auto, torch")
    return TorchEngine()
