"""A method's `predict` as an ONNX graph: named input and outputs, any number of images, checked by onnx."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from linnet import files
from linnet.engines.base import CannotRunError, Predict, outputs_of
from linnet.engines.packages import need
from linnet.methods.base import Method

__all__ = ["OPSET", "export_module", "export_predict"]

OPSET = 20
"""Version of ONNX's operators that graphs are written in."""


def export_predict(method: Method, size: int, target: Path) -> tuple[str, ...]:
    """Write `predict` for images float32 (B, 3, size, size), named "images", to `target`; returns the outputs' names.

    Raises:
        CannotRunError: torch cannot express the method as a graph, or it is too large for one file; says why.
        RunError: the packages that it takes are not installed.
    """
    method = method.eval()
    names = outputs_of(method, size)
    device = next(method.parameters()).device
    export_module(Predict(method), torch.zeros(2, 3, size, size, device=device), names, target)
    return names


def export_module(module: nn.Module, images: torch.Tensor, outputs: tuple[str, ...], target: Path) -> None:
    """Write any module of one input, "images", with as many images as one likes; `images` show dtype and shape.

    Raises:
        CannotRunError, RunError: as `export_predict`.
    """
    onnx = need("onnx", "export")
    need("onnxscript", "export")
    with _quiet():
        try:
            program: Any = torch.onnx.export(
                module.eval(),
                (images,),
                dynamo=True,
                dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
                input_names=["images"],
                output_names=list(outputs),
                opset_version=OPSET,
                verbose=False,
            )
            onnx.checker.check_model(program.model_proto)
            with files.atomic_path(target) as aside:
                program.save(aside, external_data=False)
        except Exception as error:  # the exporter raises whatever its parts do
            raise CannotRunError(f"it cannot be written as an ONNX graph ({_short(error)})") from error


def _short(error: Exception) -> str:
    """The cause of an exporter's error, its first line."""
    while error.__cause__ is not None and isinstance(error.__cause__, Exception):
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter warns of its own parts' ages; none of it concerns a user."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "torch.export")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
