"""Plain torch, which is always there, and torch's compiler."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from linnet import files
from linnet.engines.base import CannotRunError, Predict, outputs_of, prediction, told
from linnet.methods.base import Prediction
from linnet.training.bundle import Bundle

__all__ = ["TorchEngine", "open_compiled", "open_eager"]


@dataclass(frozen=True)
class TorchEngine:
    """A method run by torch, where its weights lie."""

    name: str
    precision: str
    outputs: tuple[str, ...]
    size: int
    device: torch.device
    run: Callable[[Tensor], tuple[Tensor, ...]] = field(repr=False)
    channels_last: bool = True

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Prediction:
        """See `Engine`."""
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        moved = told(images, self.size).to(self.device).contiguous(memory_format=layout)
        half = torch.autocast(self.device.type, torch.bfloat16) if self.precision == "bfloat16" else nullcontext()
        with half:
            return prediction(self.outputs, list(self.run(moved)))


def open_eager(bundle: Bundle, device: torch.device, precision: str = "float32") -> TorchEngine:
    """The method as it is, with weights and images in the memory format that CPUs and GPUs take fastest."""
    method = bundle.method.to(device).to(memory_format=torch.channels_last).eval()
    size = bundle.preprocessing.size
    return TorchEngine("torch", precision, outputs_of(method, size), size, device, Predict(method))


def open_compiled(bundle: Bundle, device: torch.device, precision: str = "float32") -> TorchEngine:
    """The method compiled by `torch.compile`, weights frozen into it; compiling takes up to a minute, and is kept.

    Raises:
        CannotRunError: torch cannot compile it here, for want of a C++ compiler or of Triton, say.
    """
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(_cache()))
    plain = open_eager(bundle, device, precision)
    options: dict[str, Any] | None = {"freezing": True} if device.type == "cpu" else None
    compiled = torch.compile(Predict(bundle.method), dynamic=True, options=options)

    def run(images: Tensor) -> tuple[Tensor, ...]:
        # One image or none would be compiled for by itself.
        count = len(images)
        if count < 2:
            images = torch.cat([images, images.new_zeros(2 - count, *images.shape[1:])])
        return tuple(value[:count] for value in compiled(images))

    engine = TorchEngine("compile", precision, plain.outputs, plain.size, device, run)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            engine(torch.zeros(3, 3, plain.size, plain.size))
    except Exception as error:  # the compiler raises whatever its parts do
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise CannotRunError(f"torch.compile failed ({type(error).__name__}: {lines[0][:200]})") from error
    return engine


def _cache() -> Path:
    return files.private_folder(files.cache_folder() / "engines" / "torch")
