"""OpenVINO over a bundle's ONNX graph, on the CPU: float32 or bfloat16, or int8 by a quantised graph."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import torch
from torch import Tensor

from linnet import files
from linnet.engines.base import CannotRunError, prediction, told
from linnet.engines.kept import kept_graph
from linnet.engines.packages import need
from linnet.methods.base import Prediction
from linnet.training.bundle import Bundle

__all__ = ["OpenVinoEngine", "open_graph", "open_vino"]

_HINTS = {"float32": "f32", "bfloat16": "bf16", "int8": "f32"}
"""What OpenVINO is told to multiply in; of an int8 graph, what is not quantised."""


@dataclass(frozen=True)
class OpenVinoEngine:
    """A compiled graph; calls from several threads take turns."""

    name: str
    precision: str
    outputs: tuple[str, ...]
    size: int
    request: Any = field(repr=False)
    lock: Lock = field(default_factory=Lock, repr=False)
    loss: Any = None

    def __call__(self, images: Tensor) -> Prediction:
        """See `Engine`."""
        count = len(told(images, self.size))
        # A graph of no image is nothing that it can be asked for.
        given = images.float().cpu().contiguous() if count else torch.zeros(1, 3, self.size, self.size)
        with self.lock:
            said = self.request.infer({"images": given.numpy()}, share_inputs=True)
            values = [torch.from_numpy(said[place].copy())[:count] for place in range(len(self.outputs))]
        return prediction(self.outputs, values)


def open_vino(bundle: Bundle, precision: str = "float32", threads: int | None = None) -> OpenVinoEngine:
    """A bundle's method by its ONNX graph, exported and compiled now unless the cache has it.

    Raises:
        CannotRunError: the method cannot be written as a graph, or OpenVINO cannot take it; says why.
        RunError: a package is not installed.
    """
    need("openvino", "fast")
    path, outputs = kept_graph(bundle)
    return open_graph(path, outputs, bundle.preprocessing.size, precision, threads)


def open_graph(
    path: Path, outputs: tuple[str, ...], size: int, precision: str, threads: int | None = None
) -> OpenVinoEngine:
    """Any ONNX graph of one input "images", (B, 3, size, size); what OpenVINO compiles is kept beside it.

    Raises:
        CannotRunError, RunError: as `open_vino`.
    """
    need("openvino", "fast")
    try:
        settings = {
            "INFERENCE_PRECISION_HINT": _HINTS[precision],
            "INFERENCE_NUM_THREADS": threads or torch.get_num_threads(),
            "PERFORMANCE_HINT": "LATENCY",
            "CACHE_DIR": str(files.private_folder(path.parent / "openvino")),
        }
        compiled = _core().compile_model(str(path), "CPU", settings)
        request = compiled.create_infer_request()
    except RuntimeError as error:
        lines = str(error).strip().splitlines()
        raise CannotRunError(f"OpenVINO does not take its graph ({lines[-1][:200] if lines else error})") from error
    name = "openvino-int8" if precision == "int8" else "openvino"
    return OpenVinoEngine(name, precision, outputs, size, request)


@cache
def _core() -> Any:
    """The process's one OpenVINO core, never let go of.

    Its CPU plugin gives the thread that loads it another stack for signals and frees that with the last core, from
    whatever thread: the next signal that Python handles, a loader's worker that ends, say, then kills the process.
    """
    return need("openvino", "fast").Core()
