"""A run's `predict` as an ONNX file, compared with torch on real images, with JSON that says how to use it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from linnet import files
from linnet.engines.base import CannotRunError, Predict, outputs_of, prediction
from linnet.engines.graph import OPSET, export_module
from linnet.engines.packages import need
from linnet.engines.parity import Parity, compare, complaint
from linnet.errors import RunError
from linnet.export.classes import classes_of, preprocessing_of
from linnet.images import Preprocessing
from linnet.images.augment import normalise
from linnet.methods.base import Method
from linnet.training.bundle import Bundle

__all__ = ["export_onnx"]

_BATCH = 16


def export_onnx(bundle: Bundle, pixels: NDArray[np.uint8], folder: Path, *, uint8: bool = False) -> Parity:
    """Write `model.onnx`, `model.json` and `classes.json` to a folder, if onnxruntime agrees with torch on images.

    The input "images" has any number of images: float32 (B, 3, S, S), normalised as model.json says, or with `uint8`
    the pixels themselves, uint8 (B, S, S, 3), normalised inside. Outputs are "embedding" (B, D) and, where the method
    has them, "coarse_logits" (B, C) and "fine_logits" (B, F), all float32.

    Args:
        pixels: uint8 (n, S, S, 3), n at least 1, the net's view of real images, to compare on.
        uint8: what the graph takes.

    Returns:
        How far the file's answers are from torch's.

    Raises:
        RunError: a package is missing (names the extra), the method cannot be written as a graph, or the answers
            differ; no model is left then.
    """
    need("onnxruntime", "export")
    method, size = bundle.method.cpu().eval(), bundle.preprocessing.size
    names = outputs_of(method, size)
    module, example = _module(method, bundle.preprocessing, uint8)
    with files.atomic_path(files.make_folder(folder) / "model.onnx") as aside:
        try:
            export_module(module, example, names, aside)
        except CannotRunError as error:
            raise RunError(f"method {bundle.card['method']!r}: {error}; export it with --format safetensors") from error
        parity = _compare(aside, method, names, pixels, bundle.preprocessing, uint8)
        wrong = complaint(parity, "float32")
        if wrong is not None:
            raise RunError(f"the ONNX graph does not give what torch gives on {parity.images} images: {wrong}")
    files.write_json(folder / "classes.json", classes_of(bundle))
    files.write_json(folder / "model.json", _about(bundle, names, folder / "model.onnx", uint8, parity))
    return parity


class _Pixels(nn.Module):
    """`Predict` of pixels as they are decoded."""

    mean: Tensor
    std: Tensor

    def __init__(self, method: Method, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.predict = Predict(method)
        self.register_buffer("mean", torch.tensor(preprocessing.mean) * 255)
        self.register_buffer("std", torch.tensor(preprocessing.std) * 255)

    def forward(self, images: Tensor) -> Any:
        """uint8 (B, S, S, 3) to what `Predict` gives."""
        return self.predict(((images.float() - self.mean) / self.std).permute(0, 3, 1, 2))


def _module(method: Method, preprocessing: Preprocessing, uint8: bool) -> tuple[nn.Module, Tensor]:
    """What is exported, and an example of its input."""
    size = preprocessing.size
    if uint8:
        return _Pixels(method, preprocessing), torch.zeros(2, size, size, 3, dtype=torch.uint8)
    return Predict(method), torch.zeros(2, 3, size, size)


@torch.inference_mode()
def _compare(
    graph: Path,
    method: Method,
    names: tuple[str, ...],
    pixels: NDArray[np.uint8],
    preprocessing: Preprocessing,
    uint8: bool,
) -> Parity:
    """The graph by onnxruntime beside torch, both fed from the same pixels."""
    runtime = need("onnxruntime", "export")
    options = runtime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, torch.get_num_threads()
    session = runtime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    here: list[Sequence[Tensor]] = []
    there: list[Sequence[Tensor]] = []
    for start in range(0, len(pixels), _BATCH):
        part = pixels[start : start + _BATCH]
        images = normalise(torch.from_numpy(part).permute(0, 3, 1, 2), preprocessing).contiguous()
        here.append(Predict(method)(images))
        said = session.run(list(names), {"images": part if uint8 else images.numpy()})
        there.append([torch.from_numpy(each) for each in said])
    joined = ([torch.cat(each) for each in zip(*parts, strict=True)] for parts in (here, there))
    expected, given = (prediction(names, values) for values in joined)
    return compare(expected, given)


def _about(bundle: Bundle, names: tuple[str, ...], graph: Path, uint8: bool, parity: Parity) -> dict[str, Any]:
    """What a program must know that runs the file without Linnet."""
    size, levels = bundle.preprocessing.size, bundle.taxonomy.levels
    meaning = {
        "embedding": "compare by cosine",
        "coarse_logits": f"level {levels[bundle.coarse]!r}, in the order of classes.json; softmax gives probabilities",
        "fine_logits": f"level {levels[bundle.fine]!r}, in the order of classes.json; softmax gives probabilities",
    }
    taken: dict[str, Any] = {"name": "images", "dtype": "float32", "shape": ["batch", 3, size, size]}
    if uint8:
        taken = {"name": "images", "dtype": "uint8", "shape": ["batch", size, size, 3]}
    return {
        "format": 1,
        "file": graph.name,
        "sha256": files.digest(graph),
        "opset": OPSET,
        "input": taken,
        "outputs": [{"name": name, "dtype": "float32", "meaning": meaning[name]} for name in names],
        "preprocessing": preprocessing_of(bundle.preprocessing, inside=uint8),
        "parity": {
            "against": "torch in float32, by onnxruntime",
            "images": parity.images,
            "cosine_least": parity.cosine[0],
            "largest_difference": parity.difference,
            "same_best_class": parity.agreement,
        },
    }
