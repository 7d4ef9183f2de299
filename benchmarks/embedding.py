"""The embedding pass on a CPU, engine by engine, beside torch as it comes; and what each costs in recall.

    python benchmarks/embedding.py [--quick] [--json FILE] [--data FOLDER] [--threads 2] [--rounds 7] [--every 1]
        [--parts speed parity] [--engines NAME ...] [--bundle FOLDER]

*Speed*: ResNet-18 at 224 px, batches of 32 that lie ready, all engines in turns in one process; figures are medians,
after a first round that does not count. Ratios are of CPU time, all threads together, which other work on the machine
changes least; wall time stands beside them. What no engine in float32 can pass is measured in the same turns: a large
product of matrices, whose GFLOP/s are the processor's, beside those of each engine (the net's own operations).
*Parity*: MobileNetV2 with ImageNet weights, or the bundle in --bundle, over the test images of CUB's first hundred
classes (FOLDER, by default $LINNET_DATA, holds CUB_200_2011 and weights): fine recall@1, leave-one-out, by each
engine's embeddings; of one in `--every` of them. Differences to torch are of the same images, with half their 95 %
interval. int8 finds its ranges on 256 training images. Engines that are not installed, or cannot run, are left out and
named. A FILE that is there is added to, part by part.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import in_turns
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from linnet import files
from linnet.backbones import build_backbone
from linnet.datasets import load_data
from linnet.engines.base import CannotRunError, Engine, Predict, outputs_of
from linnet.engines.eager import TorchEngine, open_compiled, open_eager
from linnet.engines.int8 import open_int8
from linnet.engines.packages import version_of
from linnet.engines.parity import compare
from linnet.engines.vino import open_vino
from linnet.errors import RunError
from linnet.hardware import bf16_is_fast, processor_flags
from linnet.images import Preprocessing, load_images
from linnet.methods import method_class
from linnet.methods.base import Prediction, Task
from linnet.metrics.neighbours import nearest
from linnet.randomness import generator, seeded
from linnet.taxonomy import Taxonomy
from linnet.training.bundle import Bundle, open_bundle
from linnet.training.environment import environment

__all__ = ["main"]

SIZE, BATCH, CALIBRATION = 224, 32, 256
EAGER, CPU = "torch eager, NCHW", torch.device("cpu")
PEAK, EDGE = "product of matrices, float32", 3072
Opener = Callable[[], Engine]


def bundle_of(backbone: str, taxonomy: Taxonomy, weights: Path | None = None) -> Bundle:
    """A net whose pooled features are the embedding, with no classifier."""
    with seeded(0, "benchmark"):
        net = build_backbone(backbone, weights=weights)
        method = method_class("instance").build(lambda: net, Task(torch.from_numpy(taxonomy.membership(0, 1))))
    return Bundle(method.eval(), taxonomy, 0, 1, Preprocessing(SIZE), {"method": "instance", "backbone": backbone})


def plain(bundle: Bundle) -> Engine:
    """What one gets without any thought: the module as built."""
    method, size = bundle.method.float().eval(), bundle.preprocessing.size
    return TorchEngine(EAGER, "float32", outputs_of(method, size), size, CPU, Predict(method), False)


@dataclass(frozen=True)
class Given:
    """What to measure: `names` of engines, all when empty; `every` how many test images one is taken of."""

    threads: int
    rounds: int
    every: int
    calibration: int
    names: frozenset[str]
    bundle: Path | None = None


def engines(make: Callable[[], Bundle], calibration: Tensor, given: Given) -> dict[str, Engine]:
    """Every engine asked for that opens here, the plain one first; each has a net of its own."""
    threads = given.threads
    wanted: dict[str, Opener] = {
        EAGER: lambda: plain(make()),
        "torch, channels last": lambda: open_eager(make(), CPU),
        "torch, bfloat16": lambda: open_eager(make(), CPU, "bfloat16"),
        "compile, float32": lambda: open_compiled(make(), CPU),
        "compile, bfloat16": lambda: open_compiled(make(), CPU, "bfloat16"),
        "openvino, float32": lambda: open_vino(make(), "float32", threads),
        "openvino, bfloat16": lambda: open_vino(make(), "bfloat16", threads),
        "openvino-int8": lambda: open_int8(make(), calibration, None, threads),
    }
    found: dict[str, Engine] = {}
    for name, opener in wanted.items():
        if given.names and name not in given.names | {EAGER}:
            continue
        try:
            found[name] = opener()
        except (CannotRunError, RunError) as error:
            print(f"left out: {name}: {error}")
    return found


def speed(make: Callable[[], Bundle], given: Given) -> dict[str, Any]:
    """Milliseconds a batch, and ratios to the plain engine."""
    draw = torch.from_numpy(generator(0, "images").standard_normal((BATCH, 3, SIZE, SIZE), dtype=np.float32))
    there = engines(make, draw, given)
    square = torch.from_numpy(generator(0, "matrix").standard_normal((EDGE, EDGE), dtype=np.float32))
    steps: dict[str, Callable[[], object]] = {PEAK: lambda: square @ square}
    steps |= {name: partial(each, draw) for name, each in there.items()}
    taken = in_turns(steps, dict.fromkeys(steps, 1), given.rounds)
    with torch.inference_mode(), FlopCounterMode(display=False) as counted:
        make().method.predict(draw)
    for name, figures in taken.items():
        operations = 2 * EDGE**3 if name == PEAK else counted.get_total_flops()
        figures["gflops_a_cpu_second"] = round(operations / figures["cpu_ms"] / 1e6, 1)
    for figures in (taken[name] for name in there):
        figures["cpu_ratio"] = round(taken[EAGER]["cpu_ms"] / figures["cpu_ms"], 2)
        figures["wall_ratio"] = round(taken[EAGER]["wall_ms"] / figures["wall_ms"], 2)
        figures["least_wall_ratio"] = round(taken[EAGER]["least_wall_ms"] / figures["least_wall_ms"], 2)
    return taken


def parity(data: Path, given: Given) -> dict[str, Any]:
    """Fine recall@1 on real images by each engine, and its difference to the plain one, points."""
    manifest = load_data("cub", data)
    rows = {name: manifest.rows(name) for name in ("train", "test")}
    test = rows["test"][:: given.every]
    chosen = generator(0, "calibration").permutation(rows["train"])[: given.calibration]
    weights = data / "weights" / "mobilenet_v2_imagenet.safetensors"
    make: Callable[[], Bundle] = partial(bundle_of, "mobilenet_v2", manifest.taxonomy, weights)
    if given.bundle is not None:
        make = partial(open_bundle, given.bundle)
    load = partial(load_images, preprocessing=make().preprocessing, workers=given.threads)
    there = engines(make, load([manifest.path(row) for row in chosen.tolist()]), given)
    parts: dict[str, list[Tensor]] = {name: [] for name in there}
    for start in range(0, len(test), BATCH):
        images = load([manifest.path(row) for row in test[start : start + BATCH].tolist()])
        for name, engine in there.items():
            parts[name].append(engine(images).embedding)
    labels = torch.from_numpy(manifest.targets[test, -1])
    whole = {name: torch.cat(each) for name, each in parts.items()}
    right = {name: labels[nearest(each, None, 1, exclude_self=True)[1][:, 0]] == labels for name, each in whole.items()}
    return {
        "images": len(test),
        "classes": int(labels.unique().numel()),
        "engines": {
            name: {
                "fine_recall@1": round(100 * float(right[name].float().mean()), 3),
                **_points(right[EAGER], right[name]),
                "cosine": [round(each, 6) for each in compare(Prediction(whole[EAGER]), Prediction(value)).cosine],
            }
            for name, value in whole.items()
        },
    }


def _points(before: Tensor, after: Tensor) -> dict[str, float]:
    """The difference of two shares of the same images, points, and half its 95 % interval."""
    change = 100 * (after.double() - before.double())
    half = 1.96 * float(change.std()) / len(change) ** 0.5
    return {"points": round(float(change.mean()), 3), "points_half_interval": round(half, 3)}


def main() -> None:
    """Measure, print, and write the figures where they were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--data", type=Path, default=os.environ.get("LINNET_DATA"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--parts", nargs="+", choices=("speed", "parity"), default=("speed", "parity"))
    parser.add_argument("--engines", nargs="+", default=())
    parser.add_argument("--bundle", type=Path, help="of a run; for parity, instead of ImageNet weights")
    parser.add_argument("--conditions", default="")
    told = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    torch.set_num_threads(told.threads)
    if "parity" in told.parts and told.data is None:
        parser.error("parity needs photos: --data FOLDER, or LINNET_DATA; or leave it out by --parts speed")
    given = Given(told.threads, told.rounds, told.every, CALIBRATION, frozenset(told.engines), told.bundle)
    if told.quick:
        names = frozenset({"torch, channels last", "openvino, float32", "openvino-int8"})
        given = Given(told.threads, 2, 40, 64, names, told.bundle)
    found: dict[str, Any] = files.read_json(told.json) if told.json is not None and told.json.exists() else {}
    found |= {
        "net": f"resnet18, {SIZE} px, batch {BATCH}",
        "default": "openvino, bfloat16" if bf16_is_fast(CPU) else "openvino, float32",
        "processor": sorted(processor_flags() & {"amx_bf16", "amx_int8", "avx512_bf16", "avx512_vnni", "avx_vnni"}),
    }
    if "speed" in told.parts:
        classes = load_data("creatures", size=16, train_per_class=1, test_per_class=1).taxonomy
        found["speed"] = speed(partial(bundle_of, "resnet18", classes), given)
    if "parity" in told.parts:
        found["parity" if told.bundle is None else "parity, trained"] = parity(told.data, given)
    found |= environment(CPU)
    found["versions"] |= {each: version_of(each) for each in ("openvino", "onnx", "onnxruntime")}
    found |= {"conditions": told.conditions, "date": datetime.now(UTC).date().isoformat()}
    print(json.dumps(found, indent=2))
    if told.json is not None:
        files.write_json(told.json, found)


if __name__ == "__main__":
    main()
