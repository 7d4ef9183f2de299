"""The engines of the instance head by name, and which one "auto" takes."""

from __future__ import annotations

from torch import Tensor

from linnet.losses.instance_blocks import Engine
from linnet.losses.instance_torch import TorchEngine
from linnet.losses.instance_triton import LARGEST, TritonEngine, available

__all__ = ["find_engine"]


def find_engine(name: str, weight: Tensor) -> Engine:
    """The engine for weights of this device and type; "auto" is the fastest that is there.

    Raises:
        ValueError: no such engine.
    """
    if name not in {"auto", "torch", "triton"}:
        raise ValueError(f"engine = {name!r}: choose one of auto, torch, triton")
    triton = available(weight.device, weight.dtype, weight.shape[1])
    if name == "triton" and not triton:
        raise ValueError(f"engine = 'triton' takes float32 weights on a GPU, and at most {LARGEST} columns of them")
    return TritonEngine() if triton and name != "torch" else TorchEngine()
