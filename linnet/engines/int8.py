"""Static int8 quantisation of a bundle's graph on the user's own images, and what it loses."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from linnet import files
from linnet.engines.base import CannotRunError, Engine
from linnet.engines.eager import open_eager
from linnet.engines.kept import keep, kept_graph, tensor_digest
from linnet.engines.packages import need, version_of
from linnet.engines.parity import compare
from linnet.engines.vino import OpenVinoEngine, open_graph
from linnet.errors import RecipeError
from linnet.methods.base import Prediction
from linnet.metrics.neighbours import nearest
from linnet.metrics.recall import recall_at_k
from linnet.training.bundle import Bundle

__all__ = ["FEWEST", "Loss", "measure_loss", "open_int8", "quantise"]

FEWEST = 16
"""Calibration images that int8 needs at least; some hundred give better ranges."""

_BATCH = 16
_QUANTISED = ["Conv", "Relu", "Clip", "Add", "MaxPool"]
"""Convolutions and what lies between them. Without a convolution's own ReLU its range would be taken before the ReLU
cuts it: that takes a MobileNetV2's cosine to float32 from 0.998 to 0.934."""
_logger = logging.getLogger("linnet")


@dataclass(frozen=True)
class Loss:
    """What int8 loses against torch in float32, on images that its ranges were not found on.

    Attributes:
        images: how many.
        cosine: mean and least cosine between an image's two embeddings.
        neighbour: share of the images whose nearest other one is the same.
        agreement: by output that is logits, share of the images whose best class is the same.
        recall: recall@1 in percent among these images, in float32 and in int8; None without labels.
    """

    images: int
    cosine: tuple[float, float]
    neighbour: float
    agreement: dict[str, float]
    recall: tuple[float, float] | None = None

    def __str__(self) -> str:
        """One line."""
        parts = [f"cosine to float32 {self.cosine[0]:.4f} (least {self.cosine[1]:.4f})"]
        parts.append(f"the same nearest neighbour for {self.neighbour:.0%}")
        parts += [f"the same best of {name} for {share:.0%}" for name, share in self.agreement.items()]
        if self.recall is not None:
            before, after = self.recall
            parts.append(f"recall@1 {after:.2f} %, {after - before:+.2f} points")
        return f"on {self.images} images held out: {', '.join(parts)}"


def open_int8(
    bundle: Bundle, calibration: Tensor | None, labels: Tensor | None = None, threads: int | None = None
) -> OpenVinoEngine:
    """OpenVINO over the quantised graph; three quarters of the images give the ranges, the rest the loss, logged.

    Args:
        calibration, labels: as `open_engine`.

    Raises:
        RecipeError: fewer images than `FEWEST`.
        CannotRunError: the method cannot be written as a graph or be quantised; says why.
        RunError: a package is not installed.
    """
    if calibration is None or len(calibration) < FEWEST:
        given = 0 if calibration is None else len(calibration)
        raise RecipeError(
            f"engine 'openvino-int8' finds its ranges on your own images: {given} given, at least {FEWEST} needed, "
            "some hundred are better"
        )
    need("openvino", "fast")
    need("onnxruntime", "export")
    graph, outputs = kept_graph(bundle)
    held_out = torch.arange(len(calibration)) % 4 == 3
    folder = graph.parent / f"int8-{tensor_digest(calibration)[:16]}-{version_of('onnxruntime')}"

    def make(target: Path) -> dict[str, Any]:
        quantise(graph, calibration[~held_out], target)
        return {}

    path, _ = keep(folder, "predict.onnx", make)
    engine = open_graph(path, outputs, bundle.preprocessing.size, "int8", threads)
    known = labels[held_out] if labels is not None else None
    # Measured anew with other labels; the pass over the images that torch makes is what takes time.
    called = "loss" if known is None else f"loss-{tensor_digest(known)[:16]}"

    def tell(target: Path) -> dict[str, Any]:
        loss = measure_loss(open_eager(bundle, torch.device("cpu")), engine, calibration[held_out], known)
        files.write_json(target, asdict(loss))
        return {}

    loss = _read_loss(keep(folder, f"{called}.json", tell)[0])
    _logger.warning("engine: openvino-int8; %s", loss)
    return replace(engine, loss=loss)


def quantise(graph: Path, images: Tensor, target: Path) -> None:
    """Write `graph` with its convolutions in int8 to `target`: weights by channel, ranges of activations by images.

    The first depthwise convolution of a net stays in float32: on a trained MobileNetV2 it alone makes most of the loss
    (mean cosine to float32 0.975 with it in int8, 0.996 without, no better without all 17), for a tenth of the time.

    Raises:
        CannotRunError: onnxruntime cannot do it; says why.
        RunError: onnxruntime or onnx is not installed.
    """
    quantisation = need("onnxruntime.quantization", "export")
    alone = _first_depthwise(graph)
    try:
        with warnings.catch_warnings(), files.atomic_path(target) as aside:
            warnings.simplefilter("ignore")
            level = logging.root.level
            logging.root.setLevel(logging.ERROR)  # it tells on the root logger that preparation would be better
            try:
                quantisation.quantize_static(
                    str(graph),
                    str(aside),
                    _reader(quantisation, images),
                    quant_format=quantisation.QuantFormat.QDQ,
                    per_channel=True,
                    activation_type=quantisation.QuantType.QUInt8,
                    weight_type=quantisation.QuantType.QInt8,
                    op_types_to_quantize=_QUANTISED,
                    nodes_to_exclude=alone,
                )
            finally:
                logging.root.setLevel(level)
    except Exception as error:  # it raises whatever its parts do
        raise CannotRunError(f"onnxruntime cannot quantise its graph ({error})") from error


def _first_depthwise(graph: Path) -> list[str]:
    """Names of the convolutions that see each of their channels alone and come after none such: one a net with any."""
    model = need("onnx", "export").load(str(graph)).graph
    shapes = {each.name: tuple(each.dims) for each in model.initializer}
    found, after = [], set[str]()
    for node in model.node:  # what a node takes is made before it
        groups = next((each.i for each in node.attribute if each.name == "group"), 1)
        depthwise = node.op_type == "Conv" and groups > 1 and shapes.get(node.input[1], (0, 0))[1] == 1
        follows = not after.isdisjoint(node.input)
        if depthwise and not follows:
            found.append(node.name)
        if depthwise or follows:
            after.update(node.output)
    return found


def measure_loss(reference: Engine, engine: Engine, images: Tensor, labels: Tensor | None = None) -> Loss:
    """What an engine loses against another on images (n, 3, S, S), with labels (n,) also in recall@1."""
    before, after = _whole(reference, images), _whole(engine, images)
    parity = compare(before, after)
    same = (
        nearest(before.embedding, None, 1, exclude_self=True)[1]
        == nearest(after.embedding, None, 1, exclude_self=True)[1]
    )
    recall = None
    if labels is not None and bool((torch.bincount(labels[labels >= 0], minlength=1) > 1).any()):
        first, second = (recall_at_k(each.embedding, labels, (1,))[1] for each in (before, after))
        recall = (first, second)
    least, mean = parity.cosine
    return Loss(len(images), (mean, least), float(same.float().mean()), parity.agreement, recall)


def _whole(engine: Engine, images: Tensor) -> Prediction:
    parts = [engine(images[start : start + _BATCH]) for start in range(0, len(images), _BATCH)]
    logits = [
        torch.cat([value for part in parts if (value := getattr(part, name)) is not None])
        if getattr(parts[0], name) is not None
        else None
        for name in ("coarse_logits", "fine_logits")
    ]
    return Prediction(torch.cat([part.embedding for part in parts]), *logits)


def _reader(quantisation: Any, images: Tensor) -> Any:
    """The images as onnxruntime asks for them."""

    def batches() -> Iterator[dict[str, NDArray[np.float32]]]:
        for start in range(0, len(images), _BATCH):
            yield {"images": images[start : start + _BATCH].numpy()}

    class Reader(quantisation.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = batches()

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            return next(self.left, None)

    return Reader()


def _read_loss(path: Path) -> Loss:
    said = files.read_json(path)
    recall = said["recall"] and (said["recall"][0], said["recall"][1])
    return Loss(said["images"], (said["cosine"][0], said["cosine"][1]), said["neighbour"], said["agreement"], recall)
