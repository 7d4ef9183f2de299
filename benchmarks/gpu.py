"""What a GPU makes of the instance head, a CIFAR-100 training run and recall@k, beside their floors.

    python benchmarks/gpu.py [--quick] [--json FILE] [--tune]

Device milliseconds are the sum of a step's kernels and copies as the profiler times them; wall milliseconds are those
of steps queued without waiting. Floors are those of one H200 (4.3 TB/s of copying, 790 TFLOP/s in bf16) and say little
of other GPUs. The head runs at batch 256, D = 512, fp32 weights, with 16 batches drawn uniformly that take turns. The
training run is a recipe as the command line would run it, over CIFAR-100's images (or, where LINNET_DATA has none,
random pixels of the same number and size); the time of 200 epochs is extrapolated from the epochs that ran.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile

from linnet import files
from linnet.datasets import load_data
from linnet.datasets.assemble import assemble
from linnet.errors import LinnetError
from linnet.losses.instance import InstanceHead
from linnet.losses.instance_blocks import advance
from linnet.losses.instance_plan import Tiles
from linnet.losses.instance_triton import TritonEngine
from linnet.losses.owned import UpdateRule
from linnet.manifest import Manifest
from linnet.metrics.recall import recall_at_k
from linnet.randomness import generator, torch_generator
from linnet.recipes import load_recipe
from linnet.taxonomy import Taxonomy
from linnet.training.api import train
from linnet.training.environment import environment

__all__ = ["main"]

NO_GPU = 2
BATCH, DIM = 256, 512
RULE = UpdateRule(0.01, 0.9, 5e-4)
HEADS = {(50_000, 20): (0.15, 0.095), (1_280_000, 100): (3.7, 2.26), (1_280_000, 1000): (0.9, 0.55)}
"""Images and coarse classes: the target and the floor of a step, device milliseconds."""
STEP_FLOOR_MS = 1.08
"""ResNet-18's arithmetic on 256 images of 32 x 32, forward and backward, at 790 TFLOP/s."""
PARTS = ("head", "training", "recall")
HEAD_KERNELS = ("forward_kernel", "combine_kernel", "step_kernel")
Step = Callable[[], object]


def device_events(work: Step) -> list[tuple[str, float]]:
    """Kernels and copies of some work, by name, with their milliseconds."""
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        work()
        torch.cuda.synchronize()
    return [(event.key, event.self_device_time_total / 1000) for event in seen.key_averages()]


def timed(step: Step, repeats: int) -> dict[str, float]:
    """Device and wall milliseconds of a step, and MiB that it takes above what was there; medians of five rounds."""

    def several() -> None:
        for _ in range(repeats):
            step()

    several()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    device, wall = [], []
    for _ in range(5):
        started = time.perf_counter()
        several()
        torch.cuda.synchronize()
        wall.append(1000 * (time.perf_counter() - started) / repeats)
        device.append(sum(taken for _, taken in device_events(several)) / repeats)
    extra = (torch.cuda.max_memory_allocated() - before) / 2**20
    return {
        "device_ms": round(statistics.median(device), 4),
        "wall_ms": round(statistics.median(wall), 4),
        "extra_mib": round(extra, 1),
    }


class Setting:
    """A head on the GPU, and batches of embeddings (on it) and image numbers (on the host)."""

    def __init__(self, count: int, groups: int) -> None:
        self.group = torch.arange(count) % groups
        self.head = InstanceHead(self.group, DIM).cuda()
        draw = torch_generator(0, "benchmark")
        numbers = [torch.randint(count, (BATCH,), generator=draw) for _ in range(16)]
        self.batches = itertools.cycle([(torch.randn(BATCH, DIM, generator=draw).cuda(), each) for each in numbers])

    def linnet(self, engine: str) -> Step:
        """A step of this package's head."""

        def step() -> None:
            embedding, index = next(self.batches)
            self.head.engine = engine
            self.head(embedding.requires_grad_(), index).backward()
            self.head.step(RULE)

        return step

    def masked(self) -> Step:
        """All logits, those of other groups masked; autograd and torch's fused SGD."""
        weight, group = nn.Parameter(self.head.weight), self.group.cuda()
        optimizer = torch.optim.SGD([weight], RULE.lr, RULE.momentum, 0, RULE.weight_decay, fused=True)
        optimizer.state[weight]["momentum_buffer"] = self.head.velocity

        def step() -> None:
            embedding, numbers = next(self.batches)
            index = numbers.cuda(non_blocking=True)
            logits = F.linear(embedding.requires_grad_(), weight)
            logits = logits.masked_fill(group[index].unsqueeze(1) != group, -torch.inf)
            optimizer.zero_grad()
            F.cross_entropy(logits, index).backward()
            optimizer.step()

        return step

    def engine(self, engine: TritonEngine) -> Step:
        """A step of the engine alone, for tuning."""
        head = self.head

        def step() -> None:
            embedding, index = next(self.batches)
            part = head.layout.part(index, head.pending, embedding.device)
            rows, scale = embedding.detach()[part.order], 1 / BATCH
            _, _, residual = engine.forward(head.weight, head.velocity, rows, part.touched, None)
            engine.step(head.weight, head.velocity, rows, residual, part.touched, RULE, scale)
            advance(head.pending, part.groups, RULE)

        return step


def exactness() -> dict[str, float]:
    """Relative distance of one fp32 step's velocity and gradient from float64, by engine; 2,000 images, 7 classes."""
    draw = torch_generator(0, "exactness")
    group, x = torch.arange(2000) % 7, torch.randn(BATCH, DIM, generator=draw)
    index = torch.randint(2000, (BATCH,), generator=draw)
    first = InstanceHead(group, DIM).weight * 10
    found = {}
    for name, dtype in (("exact", torch.float64), ("torch", torch.float32), ("triton", torch.float32)):
        head = InstanceHead(group, DIM, engine="torch" if name == "exact" else name).to("cuda", dtype)
        head.weight.copy_(first)
        embedding = x.to("cuda", dtype, copy=True).requires_grad_()
        head(embedding, index).backward()
        head.step(RULE)
        found[name] = (head.velocity.double(), embedding.grad.double())
    exact = found.pop("exact")
    return {
        f"{name}, {what}": float(f"{float((ours - theirs).norm() / theirs.norm()):.1e}")
        for name, pair in found.items()
        for what, ours, theirs in zip(("velocity", "gradient"), pair, exact, strict=True)
    }


def heads(sizes: Iterable[tuple[int, int]], repeats: int) -> dict[str, Any]:
    """Steps of the head by size: this package's engines, and masked logits."""
    report: dict[str, Any] = {}
    for count, groups in sizes:
        setting, (target, floor) = Setting(count, groups), HEADS[count, groups]
        rows = {name: timed(setting.linnet(name), repeats) for name in ("triton", "torch")}
        rows["masked logits"] = timed(setting.masked(), max(2, repeats // 8))
        for row in rows.values():
            row["ratio"] = round(row["device_ms"] / rows["masked logits"]["device_ms"], 4)
        reached = {"target_ms": target, "floor_ms": floor, "over_floor": round(rows["triton"]["device_ms"] / floor, 2)}
        report[f"{count}/{groups}"] = {**rows, **reached}
        show(f"head {count}/{groups}", report[f"{count}/{groups}"])
    return report


def tuned(sizes: Iterable[tuple[int, int]], repeats: int) -> dict[str, Any]:
    """Device milliseconds of the engine with other tiles, the fastest first; what does not fit is left out."""
    choices = [Tiles(warps=w, stages=s, rows=r) for w, s, r in itertools.product((4, 8), (1, 2, 3), (16, 32))]
    choices += [Tiles(chunk=chunk, programs=programs) for chunk in (96, 192, 384) for programs in (1056, 2112, 4224)]
    steps = itertools.product((16, 32), (64, 128, 256), (4, 8))
    choices += [Tiles(step_rows=r, step_columns=c, step_warps=w) for r, c, w in steps]
    report: dict[str, Any] = {}
    for count, groups in sizes:
        setting, found = Setting(count, groups), []
        for tiles in dict.fromkeys(choices):
            try:
                found.append({**timed(setting.engine(TritonEngine(tiles=tiles)), repeats), **asdict(tiles)})
            except Exception as error:  # the compiler has many ways to say that tiles are too large
                found.append({"device_ms": float("inf"), "error": str(error)[:80], **asdict(tiles)})
        report[f"{count}/{groups}"] = sorted(found, key=lambda row: row["device_ms"])
        show(f"tiles {count}/{groups}, best", report[f"{count}/{groups}"][0])
    return report


def cifar() -> Manifest:
    """CIFAR-100, or random pixels of its size where LINNET_DATA has none."""
    try:
        return load_data("cifar100")
    except LinnetError:
        pixels = generator(0, "pixels").integers(0, 256, (50_000, 32, 32, 3), dtype=np.uint8)
    fine = np.arange(50_000) % 100
    names = tuple(tuple(f"{level} {number}" for number in range(n)) for level, n in (("coarse", 20), ("fine", 100)))
    tree = Taxonomy(("coarse", "fine"), names, ((), tuple(number // 5 for number in range(100))))
    return assemble(
        source="random pixels",
        root=Path(),
        images=[f"{number:05d}" for number in range(50_000)],
        taxonomy=tree,
        targets=np.column_stack([fine // 5, fine]),
        splits={"train": 50_000},
        pixels=pixels,
    )


def training(epochs: int) -> dict[str, Any]:
    """A run of the recipe cifar100/coins for some epochs: seconds an epoch, images a second, where device time goes."""
    manifest = cifar()
    recipe = load_recipe("cifar100/coins").change(epochs=epochs, evaluate_every=epochs)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        train(recipe, Path(folder) / "run", manifest, progress=False)
        whole = time.perf_counter() - started
        lines = (Path(folder) / "run/metrics.jsonl").read_text().splitlines()
        events = device_events(lambda: train(recipe.change(epochs=2), Path(folder) / "seen", manifest, progress=False))
    ends = [json.loads(line)["seconds"] for line in lines]
    epoch = statistics.median(np.diff(ends)[epochs // 2 - 1 :])
    steps, device = 50_000 // BATCH, sum(taken for _, taken in events)
    head = sum(taken for name, taken in events if any(kernel in name for kernel in HEAD_KERNELS))
    report = {
        "data": manifest.source,
        "seconds_an_epoch": round(epoch, 3),
        "images_a_second": round(steps * BATCH / epoch),
        "step_ms": round(1000 * epoch / steps, 3),
        "step_device_ms": round(device / (2 * steps), 3),
        "step_floor_ms": STEP_FLOOR_MS,
        "head_share_of_device_time": round(head / device, 4),
        "seconds_before_and_after": round(whole - epochs * epoch, 1),
        "seconds_of_200_epochs_extrapolated": round(200 * epoch, 1),
        "target_seconds": 110,
        "kernels_ms_a_step": {
            name[:100]: round(taken / (2 * steps), 4) for name, taken in sorted(events, key=lambda each: -each[1])[:20]
        },
    }
    show("training", report)
    return report


def recall(count: int, repeats: int) -> dict[str, Any]:
    """recall@1, 2, 4, 8 of `count` random embeddings of 100 classes, and the product alone in bf16."""
    draw = torch_generator(0, "recall")
    rows, labels = torch.randn(count, DIM, generator=draw).cuda(), (torch.arange(count) % 100).cuda()
    halves = F.normalize(rows).bfloat16()
    report: dict[str, Any] = {
        "images": count,
        "linnet": timed(lambda: recall_at_k(rows, labels, (1, 2, 4, 8)), repeats),
        "product in bf16": timed(lambda: [part @ halves.T for part in halves.split(4096)], repeats),
        "target_ms": 20 if count == 60_000 else None,
    }
    show("recall", report)
    return report


def show(name: str, entry: object) -> None:
    """One part of the report, at once: a machine that is lent may be taken back."""
    print(f"{name}: {json.dumps(entry, indent=2)}", flush=True)


def main() -> int:
    """Measure, print, and write FILE."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the smallest head, six epochs, 10,000 images to recall")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--tune", action="store_true", help="try other tiles of the head, too")
    parser.add_argument(
        "--parts", nargs="+", choices=("head", "training", "recall"), default=["head", "training", "recall"]
    )
    given = parser.parse_args()
    if not torch.cuda.is_available():
        print("benchmarks/gpu.py measures on a GPU, and this torch sees none", file=sys.stderr)
        return NO_GPU
    sizes, repeats = (list(HEADS)[:1] if given.quick else list(HEADS)), 32
    report: dict[str, Any] = {
        "what": __doc__.splitlines()[0],
        **environment(torch.device("cuda", 0)),
        "command": " ".join(["python benchmarks/gpu.py", *sys.argv[1:]]),
        "date": datetime.now(UTC).date().isoformat(),
    }
    parts: dict[str, Callable[[], object]] = {
        "exactness": exactness,
        "head": lambda: heads(sizes, repeats),
        "training": lambda: training(6 if given.quick else 20),
        "recall": lambda: recall(10_000 if given.quick else 60_000, 3),
        "tiles": lambda: tuned(sizes, repeats),
    }
    wanted = {"exactness", *given.parts, *(["tiles"] if given.tune else [])}
    for name in (name for name in parts if name in wanted):
        report[name] = parts[name]()
        torch.cuda.empty_cache()
        if given.json:
            files.write_json(given.json, report)
    show("exactness", report["exactness"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
