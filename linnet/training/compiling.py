"""Compiling the net; on a GPU into CUDA graphs, which spare the launches that cost half a step at 32 pixels.

Known of bits on a GPU: cuDNN chooses without benchmarks and torch takes deterministic algorithms (`device.find_place`),
the compiler chooses its kernels without timing them ("deterministic"), and a graph replays what was captured. Whether a
run that is killed and resumed then gives the same bits as an unbroken one must be seen on the GPU at hand.
"""

from __future__ import annotations

import logging
from importlib.util import find_spec

import torch

from linnet.backbones import Backbone
from linnet.recipes import Recipe

__all__ = ["compile_net"]

_logger = logging.getLogger("linnet")


def compile_net(backbone: Backbone, recipe: Recipe, device: torch.device) -> None:
    """Compile a backbone in place as the recipe and the device have it.

    On a GPU every shape of batch is compiled by itself, and replayed as a CUDA graph where training sees but one shape
    (`drop_last`); without Triton, which compiles for GPUs, the net stays as it is, and a warning says so.
    """
    if not recipe.compile:
        return
    if device.type != "cuda":
        backbone.compile()
        return
    if find_spec("triton") is None:
        _logger.warning("compile = true takes Triton on a GPU, which is not installed; the net runs uncompiled")
        return
    # What mode = "reduce-overhead" stands for, which cannot be given beside options.
    options = {"triton.cudagraphs": recipe.drop_last, "deterministic": True}
    known = set(torch._inductor.list_options())
    backbone.compile(dynamic=False, options={name: value for name, value in options.items() if name in known})
