"""Training steps of the CPU recipes' net in fp32 and bf16, plain and channels_last, as ratios of one run.

    python benchmarks/precision.py --conditions "idle machine"

One step is forward, backward and fused SGD on 256 images of 32 x 32. The variants take turns, so that a busy
neighbour meets all of them; the figure of each is its median.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.nn import functional as F

from linnet import files
from linnet.backbones import build_backbone
from linnet.randomness import seeded, torch_generator
from linnet.training.environment import environment

BATCH = 256
VARIANTS = {
    "fp32": (False, False),
    "fp32 channels_last": (False, True),
    "bf16": (True, False),
    "bf16 channels_last": (True, True),
}


def make_step(width: int, half: bool, channels_last: bool) -> Callable[[], None]:
    """One training step as the loop takes it."""
    with seeded(0, "weights"):
        net = build_backbone("cifar-resnet18", width=width)
        head = torch.nn.Linear(net.dim, 20, bias=False)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    net.to(memory_format=layout)
    images = torch.randn(BATCH, 3, 32, 32, generator=torch_generator(0, "images")).to(memory_format=layout)
    labels = torch.arange(BATCH) % 20
    parameters = [*net.parameters(), *head.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=0.01, momentum=0.9, weight_decay=5e-4, fused=True)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            embedding = net(images)
        loss = F.cross_entropy(head(embedding.float()), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def main() -> None:
    """Time the variants in turns and write their medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--conditions", required=True, help="what else the machine was doing")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results/precision.json")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    steps = {name: make_step(given.width, *variant) for name, variant in VARIANTS.items()}
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(given.rounds + 1):
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            if number:  # the first round warms up
                seconds[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    report = {
        "what": f"training step, cifar-resnet18 of width {given.width}, batch {BATCH}, median of {given.rounds}",
        "conditions": given.conditions,
        **environment(torch.device("cpu")),
        "images_per_second": {name: round(BATCH / value) for name, value in medians.items()},
        "speed_over_fp32": {name: round(medians["fp32"] / value, 2) for name, value in medians.items()},
    }
    files.write_json(given.out, report)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
