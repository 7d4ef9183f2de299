"""The engines of the instance head by name, and which one "auto" takes."""

from __future__ import annotations

import torch
from torch import Tensor

from linnet.losses.instance_blocks import Engine
from linnet.losses.instance_build import compiled_engine
from linnet.losses.instance_torch import TorchEngine
from linnet.losses.instance_triton import LARGEST, TritonEngine, available

__all__ = ["find_engine"]

_NAMES = ("auto", "torch", "compiled", "triton")


def find_engine(name: str, weight: Tensor) -> Engine:
    """The engine for weights of this device and type; "auto" is the fastest that is there.

    Raises:
        ValueError: no such engine, or it is not to be had for these weights.
    """
    if name not in _NAMES:
        raise ValueError(f"engine = {name!r}: choose one of {', '.join(_NAMES)}")
    if name in {"auto", "triton"} and available(weight.device, weight.dtype, weight.shape[1]):
        return TritonEngine()
    if name == "triton":
        raise ValueError(f"engine = 'triton' takes float32 weights on a GPU, and at most {LARGEST} columns of them")
    if name in {"auto", "compiled"} and weight.device.type == "cpu" and weight.dtype == torch.float32:
        found = compiled_engine()
        if not isinstance(found, str):
            return found
        if name == "compiled":
            raise ValueError(f"engine = 'compiled': {found}")
    if name == "compiled":
        raise ValueError("engine = 'compiled' takes float32 weights on a CPU")
    return TorchEngine()
