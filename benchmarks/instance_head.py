"""The instance head beside full, masked and peers' softmax heads: ratios of one run, extra memory, and parity.

    python benchmarks/instance_head.py [--quick] [--json FILE] [--sizes N/C ...] [--rows NAME ...]

A step is forward, backward and SGD (momentum .9, weight decay 5e-4) of the head alone at batch 256, fp32; N images in C
equal coarse classes, drawn uniformly. All rows of a size share one process and one pair of weights and velocities, and
take turns; 1.00 is the masked head. Each size runs with glibc's allocator as it is, and with one that keeps what is
freed. Extra memory is each row's own, in a fresh process. A FILE that is there is added to, size by size.

PartialFC is no row: no package on PyPI offers it as a head to call (it is a script of the insightface repository), and
it samples negatives, which is another loss.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from measuring import ALLOCATORS, extra_peak_mib, in_child, in_turns
from torch import Tensor, nn
from torch.nn import functional as F

from linnet import files
from linnet.losses.instance import InstanceHead
from linnet.losses.instance_build import compiled_engine
from linnet.losses.owned import UpdateRule
from linnet.randomness import torch_generator
from linnet.training.environment import environment

__all__ = ["main"]

BATCH, DIM = 256, 512
RULE = UpdateRule(0.01, 0.9, 5e-4)
REFERENCE = "masked logits"
PEER = "pytorch_metric_learning"
SIZES = ("50000/20", "80000/12", "1280000/100", "1280000/1000")
QUICK = ("50000/20", "100000/1000")
KILLED = "killed: too little memory"
COMPILED = "linnet, compiled"
BRIEFLY = (REFERENCE, COMPILED)  # rows whose memory --quick measures
Step = Callable[[], object]


class Setting:
    """Images in groups, a head whose weights and velocities all rows share, and batches in an endless row."""

    def __init__(self, size: str) -> None:
        count, groups = map(int, size.split("/"))
        self.group = torch.arange(count) % groups
        self.head = InstanceHead(self.group, DIM)
        draw = torch_generator(0, "benchmark")
        self.batches = [
            (torch.randn(BATCH, DIM, generator=draw), torch.randint(count, (BATCH,), generator=draw)) for _ in range(16)
        ]
        self.number = 0

    def batch(self) -> tuple[Tensor, Tensor]:
        """Embeddings that want a gradient, and image numbers."""
        self.number += 1
        embedding, index = self.batches[self.number % len(self.batches)]
        return embedding.detach().requires_grad_(), index

    def optimizer(self, weight: nn.Parameter, fused: bool) -> torch.optim.SGD:
        """torch's SGD with the shared velocities as its momentum."""
        optimizer = torch.optim.SGD([weight], RULE.lr, RULE.momentum, 0, RULE.weight_decay, fused=fused)
        optimizer.state[weight]["momentum_buffer"] = self.head.velocity.view(weight.shape)
        return optimizer


def dense(setting: Setting, loss: Callable[[Tensor, Tensor], Tensor], weight: nn.Parameter, fused: bool) -> Step:
    """A step of a head that autograd and torch's SGD train."""
    optimizer = setting.optimizer(weight, fused)

    def step() -> None:
        embedding, index = setting.batch()
        optimizer.zero_grad()
        loss(embedding, index).backward()
        optimizer.step()

    return step


def linear(setting: Setting, fused: bool = False, masked: bool = False) -> Step:
    """`nn.Linear` and cross-entropy over all instances, or with those of other groups masked."""
    layer = nn.Linear(1, 1, bias=False)
    layer.weight = nn.Parameter(setting.head.weight)

    def loss(embedding: Tensor, index: Tensor) -> Tensor:
        logits = layer(embedding)
        if masked:
            elsewhere = setting.group[index].unsqueeze(1) != setting.group
            logits = logits.masked_fill(elsewhere, -torch.inf)
        return F.cross_entropy(logits, index)

    return dense(setting, loss, layer.weight, fused)


def can_compile() -> bool:
    """Whether the compiled engine can be had here."""
    return not isinstance(compiled_engine(), str)


def metric_learning(setting: Setting) -> Step:
    """pytorch-metric-learning's softmax over all instances, of cosines; none of its losses knows groups."""
    loss = import_module(f"{PEER}.losses").NormalizedSoftmaxLoss(1, DIM)
    loss.W = nn.Parameter(setting.head.weight.view(DIM, -1))
    return dense(setting, loss, loss.W, fused=False)


def linnet(setting: Setting, engine: str) -> Step:
    """This package's head."""
    head = setting.head

    def step() -> None:
        embedding, index = setting.batch()
        head.engine = engine
        head(embedding, index).backward()
        head.step(RULE)

    return step


ROWS: dict[str, Callable[[Setting], Step]] = {
    "linear": linear,
    "linear, fused SGD": lambda setting: linear(setting, fused=True),
    REFERENCE: lambda setting: linear(setting, masked=True),
    "metric-learning, all instances": metric_learning,
    "linnet, torch": lambda setting: linnet(setting, "torch"),
    COMPILED: lambda setting: linnet(setting, "compiled"),
}


def measure(size: str, names: list[str], rounds: int) -> dict[str, Any]:
    """Times of the rows at one size; this package's take ten steps a round, as each of them is short."""
    setting = Setting(size)
    steps = {name: ROWS[name](setting) for name in names}
    found = in_turns(steps, {name: 10 if name.startswith("linnet") else 1 for name in names}, rounds)
    if REFERENCE in found:
        for row in found.values():
            row["ratio"] = round(row["wall_ms"] / found[REFERENCE]["wall_ms"], 4)
            row["cpu_ratio"] = round(row["cpu_ms"] / found[REFERENCE]["cpu_ms"], 4)
    return found


def extra_memory(size: str, name: str) -> float:
    """MiB of one row above weights and velocities; libraries and threads are there before."""
    small = ROWS[name](Setting("512/2"))
    small()
    setting = Setting(size)
    step = ROWS[name](setting)
    setting.head.weight.zero_(), setting.head.velocity.zero_()
    return round(extra_peak_mib(lambda: [step() for _ in range(3)]), 1)


def parity(steps: int) -> dict[str, Any]:
    """Distance of fp32 weights and velocities from dense float64 training, relative, after `steps` steps.

    200 groups of 10, batches of 8, so that at least 192 groups are absent from each; the learning rate falls thrice.
    """
    group, width = torch.arange(2000) % 200, 64
    engines = ("torch", "compiled") if can_compile() else ("torch",)
    heads = {name: InstanceHead(group, width, engine=name) for name in engines}
    first = heads["torch"].weight.clone()
    order = heads["torch"].layout.position
    plain = {
        "dense torch, fp32": nn.Parameter(first[order].clone()),
        "exact": nn.Parameter(first[order].double()),
    }
    optimizers = {name: torch.optim.SGD([w], 0.1, 0.9, weight_decay=5e-4) for name, w in plain.items()}
    for head in heads.values():
        head.weight.copy_(first)
    for number in range(steps):
        draw = torch_generator(0, "parity", number)
        index = torch.randint(len(group), (8,), generator=draw)
        embedding = torch.randn(8, width, generator=draw)
        rule = UpdateRule(0.1 * 0.2 ** (4 * number // steps), 0.9, 5e-4)
        for head in heads.values():
            head(embedding, index).backward()
            head.step(rule)
        for name, w in plain.items():
            logits = embedding.to(w.dtype) @ w.T
            elsewhere = group[index].unsqueeze(1) != group
            optimizers[name].zero_grad()
            F.cross_entropy(logits.masked_fill(elsewhere, -torch.inf), index).backward()
            optimizers[name].param_groups[0]["lr"] = rule.lr
            optimizers[name].step()
    states = {f"linnet, {name}": _flushed(head) for name, head in heads.items()}
    states |= {name: (w.detach(), optimizers[name].state[w]["momentum_buffer"]) for name, w in plain.items()}
    exact = states.pop("exact")
    return {
        name: {
            what: float(f"{float((ours.double() - theirs).norm() / theirs.norm()):.2e}")
            for what, ours, theirs in zip(("weight", "velocity"), state, exact, strict=True)
        }
        for name, state in states.items()
    }


def _flushed(head: InstanceHead) -> tuple[Tensor, Tensor]:
    head.flush()
    return head.weight[head.layout.position], head.velocity[head.layout.position]


def report(given: argparse.Namespace) -> dict[str, Any]:
    """What was asked for, each size and allocator in a process of its own, added to what FILE holds."""
    missing = [] if importlib.util.find_spec(PEER) else [name for name in given.rows if ROWS[name] is metric_learning]
    missing += [] if can_compile() else [name for name in given.rows if name == COMPILED]
    names = [name for name in given.rows if name not in missing]
    old = files.read_json(given.json) if given.json and given.json.exists() else {"sizes": {}}
    found = {
        "what": f"one training step of a softmax head over instances, D={DIM}, batch {BATCH}, fp32; medians",
        "conditions": given.conditions,
        **conditions(missing),
        "command": " ".join(["python benchmarks/instance_head.py", *sys.argv[1:]]),
        "parity": old.get("parity"),
        "sizes": old["sizes"],
    }
    for number, size in enumerate(given.sizes):
        entry = found["sizes"].setdefault(size, {"extra_peak_mib": {}})
        brief = given.quick and number > 0  # a process takes seconds to begin
        for name in names if "memory" in given.parts and not brief else []:
            if not given.quick or name in BRIEFLY:
                entry["extra_peak_mib"][name] = child("memory", given, size, [name])
        for allocator in given.allocators[: 1 if brief else None] if "time" in given.parts else []:
            load = round(os.getloadavg()[0], 1)
            rows, greedy = child("time", given, size, names, allocator), "metric-learning, all instances"
            if not rows and greedy in names:  # it alone takes three times what the others do
                rows = child("time", given, size, [name for name in names if name != greedy], allocator)
            for name in names:
                taken = (rows or {}).get(name)
                entry.setdefault(allocator, {})[name] = {**taken, "load_before": load} if taken else KILLED
        print(table(size, entry), flush=True)
    if "parity" in given.parts:
        found["parity"] = parity(600 if given.quick else 3000)
        print(json.dumps(found["parity"], indent=2))
    return found


def child(part: str, given: argparse.Namespace, size: str, names: list[str], allocator: str = "default") -> Any:
    """One part of a report from a fresh process; None where it was killed."""
    options = ["--threads", str(given.threads), "--rounds", str(given.rounds), "--sizes", size, "--rows", *names]
    return in_child(__file__, ["--child", part, *options], allocator)


def conditions(missing: list[str]) -> dict[str, Any]:
    """Machine, versions, and the day."""
    about = environment(torch.device("cpu"))
    if importlib.util.find_spec(PEER):
        about["versions"]["pytorch-metric-learning"] = version("pytorch-metric-learning")
    return {**about, "not_installed": missing, "date": datetime.now(UTC).date().isoformat()}


def table(size: str, entry: dict[str, Any]) -> str:
    """The rows of one size as text: ratios to the masked head, milliseconds, extra memory."""
    lines = [f"\n{size:<32}{'wall':>9}{'ms':>10}{'CPU':>9}{'warmed wall':>13}{'ms':>10}{'CPU':>9}{'extra MiB':>11}"]
    for name in ROWS:
        line = f"{name:<32}"
        for allocator, width in (("default", 9), ("warmed", 13)):
            row = entry.get(allocator, {}).get(name)
            row = row if isinstance(row, dict) else {}
            line += f"{row.get('ratio', '-'):>{width}}{row.get('wall_ms', '-'):>10}{row.get('cpu_ratio', '-'):>9}"
        lines.append(line + f"{entry['extra_peak_mib'].get(name) or '-':>11}")
    return "\n".join(lines)


def main() -> None:
    """Measure, print, and write FILE."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two smaller sizes, less of each: within a minute")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--sizes", nargs="+", metavar="N/C")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--allocators", nargs="+", choices=ALLOCATORS, default=list(ALLOCATORS))
    parser.add_argument(
        "--parts", nargs="+", choices=("time", "memory", "parity"), default=["time", "memory", "parity"]
    )
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--conditions", default="not stated", help="what else the machine was doing")
    parser.add_argument("--child", choices=("time", "memory"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    given.sizes = given.sizes or (QUICK if given.quick else SIZES)
    given.rounds = given.rounds or (2 if given.quick else 5)
    torch.set_num_threads(given.threads)
    if given.child == "time":
        print(json.dumps(measure(given.sizes[0], given.rows, given.rounds)))
    elif given.child == "memory":
        print(json.dumps(extra_memory(given.sizes[0], given.rows[0])))
    else:
        found = report(given)
        if given.json:
            files.write_json(given.json, found)


if __name__ == "__main__":
    main()
