"""Recall@1,2,4,8 by rank counting, and nearest neighbours, beside their peers: ratios of one run, extra peak memory.

    python benchmarks/recall.py [--quick] [--json FILE] [--sizes N ...] [--rows NAME ...] [--rounds 3]

Random clustered embeddings of 512 numbers, leave-one-out, cosine. *product* is the similarities alone, 1024 queries at
a time, by the routine that linnet's tiles take first on this machine (bfloat16 where the processor multiplies it), and
by torch's float32: what any method that does not use their symmetry must at least do. Peers share a process and take
turns; figures are medians, after a first round that does not count. Extra memory is each one's own, in a fresh process.
Peers that are not installed are left out and named. A FILE that is there is added to, size by size.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from measuring import extra_peak_mib, in_child, in_turns
from torch import Tensor
from torch.nn.functional import normalize

from linnet import files
from linnet.metrics.neighbours import nearest
from linnet.metrics.recall import recall_at_k
from linnet.metrics.unit_vectors import roads
from linnet.randomness import torch_generator
from linnet.training.environment import environment

__all__ = ["VARIANTS", "main"]

KS, WIDTH, BLOCK = (1, 2, 4, 8), 512, 1024
FLOOR, LINNET = "product, linnet's routine", "linnet"
SIZES, QUICK = (10_000, 60_000), (10_000,)
DISTRIBUTIONS = {"faiss": "faiss-cpu", "pytorch_metric_learning": "pytorch-metric-learning"}
Figures = dict[int, float]


def data(count: int) -> tuple[Tensor, Tensor]:
    """`count` embeddings of 100 overlapping classes, float32 (count, D), and their labels."""
    draw = torch_generator(0, "benchmark")
    labels = torch.arange(count) % 100
    centres = torch.randn(100, WIDTH, generator=draw)
    return 0.16 * centres[labels] + torch.randn(count, WIDTH, generator=draw), labels


def from_neighbours(found: Tensor, labels: Tensor) -> Figures:
    """Recall from the indices of the 8 nearest others, (n, 8)."""
    hits = labels[found] == labels[:, None]
    return {k: 100.0 * float(hits[:, :k].any(1).double().mean()) for k in KS}


def product(rows: Tensor, labels: Tensor, dtype: torch.dtype | None = None) -> Figures:
    """The similarities alone."""
    units = normalize(rows).to(dtype or roads(None, rows.device)[0])
    out = torch.empty(BLOCK, len(units), dtype=units.dtype)
    for start in range(0, len(units), BLOCK):
        block = units[start : start + BLOCK]
        torch.mm(block, units.T, out=out[: len(block)])
    return {}


def counting(rows: Tensor, labels: Tensor, dtype: torch.dtype | None = None) -> Figures:
    """linnet's rank counting; its first tiles in `dtype`."""
    return recall_at_k(rows, labels, KS, dtype=dtype)


def neighbours(rows: Tensor, labels: Tensor) -> Figures:
    """linnet's 8 nearest neighbours, exact."""
    return from_neighbours(nearest(rows, None, 8, exclude_self=True)[1], labels)


def topk(rows: Tensor, labels: Tensor) -> Figures:
    """torch mm and topk."""
    units, found = normalize(rows), []
    for start in range(0, len(units), BLOCK):
        s = units[start : start + BLOCK] @ units.T
        s.diagonal(start).fill_(-2)
        found.append(s.topk(8).indices)
    return from_neighbours(torch.cat(found), labels)


def faiss_flat(rows: Tensor, labels: Tensor) -> Figures:
    """faiss IndexFlatIP; the query is the first of its nine nearest, there being no duplicates here."""
    faiss = import_module("faiss")
    faiss.omp_set_num_threads(torch.get_num_threads())
    units = normalize(rows).numpy()
    index = faiss.IndexFlatIP(units.shape[1])
    index.add(units)
    return from_neighbours(torch.from_numpy(index.search(units, 9)[1])[:, 1:], labels)


def metric_learning(rows: Tensor, labels: Tensor) -> Figures:
    """pytorch-metric-learning's AccuracyCalculator: precision at 1, which is recall at 1."""
    peer = "pytorch_metric_learning"
    distances, inference = import_module(f"{peer}.distances"), import_module(f"{peer}.utils.inference")
    knn = inference.CustomKNN(distances.CosineSimilarity(), batch_size=BLOCK)
    calculators = import_module(f"{peer}.utils.accuracy_calculator")
    calculator = calculators.AccuracyCalculator(include=("precision_at_1",), k=1, knn_func=knn)
    return {1: 100.0 * calculator.get_accuracy(rows, labels)["precision_at_1"]}


VARIANTS: dict[str, tuple[str, Callable[[Tensor, Tensor], Figures]]] = {
    FLOOR: ("torch", product),
    "product, torch float32": ("torch", partial(product, dtype=torch.float32)),
    LINNET: ("torch", counting),
    "linnet, float32 tiles": ("torch", partial(counting, dtype=torch.float32)),
    "linnet, 8 neighbours": ("torch", neighbours),
    "torch mm + topk": ("torch", topk),
    "faiss IndexFlatIP": ("faiss", faiss_flat),
    "pytorch-metric-learning (@1 only)": ("pytorch_metric_learning", metric_learning),
}


def extra_memory(name: str, count: int) -> float:
    """Peak memory of one variant above its inputs, MiB; to be called in a process of its own."""
    rows, labels = data(count)
    work = VARIANTS[name][1]
    work(rows[:256].clone(), labels[:256])  # imports and library buffers
    return round(extra_peak_mib(lambda: work(rows, labels)), 1)


def measure(count: int, rounds: int, names: Sequence[str]) -> dict[str, Any]:
    """Times, ratios and figures of those variants that can run here."""
    here = [name for name in names if importlib.util.find_spec(VARIANTS[name][0])]
    rows, labels = data(count)
    figures: dict[str, Figures] = {}

    def run(name: str) -> None:
        figures[name] = VARIANTS[name][1](rows, labels)

    found = in_turns({name: partial(run, name) for name in here}, dict.fromkeys(here, 1), rounds)
    for name, row in found.items():
        row["ratio_to_product"] = round(row["wall_ms"] / found[FLOOR]["wall_ms"], 3)
        row["ratio_to_linnet"] = round(row["wall_ms"] / found[LINNET]["wall_ms"], 3)
        row["recall"] = {str(k): round(value, 4) for k, value in figures[name].items()}
    return found


def report(given: argparse.Namespace) -> dict[str, Any]:
    """What was asked for, added to what FILE holds."""
    installed = {name for module, name in DISTRIBUTIONS.items() if importlib.util.find_spec(module)}
    about = environment(torch.device("cpu"))
    about["versions"] |= {name: version(name) for name in sorted(installed)}
    found: dict[str, Any] = {
        "what": f"recall@{KS}, leave-one-out by cosine, D={WIDTH}; medians of {given.rounds} rounds",
        "conditions": given.conditions,
        **about,
        "product": f"linnet's routine: {roads(None, torch.device('cpu'))[0]}",
        "not_installed": sorted(set(DISTRIBUTIONS.values()) - installed),
        "command": " ".join(["python benchmarks/recall.py", *sys.argv[1:]]),
        "date": datetime.now(UTC).date().isoformat(),
        "sizes": files.read_json(given.json).get("sizes", {}) if given.json and given.json.exists() else {},
    }
    for count in given.sizes:
        rows = measure(count, given.rounds, given.rows)
        print(f"\n{count} x {count:<28}{'wall ms':>10}{'of product':>12}{'of linnet':>11}{'extra MiB':>11}")
        for name, row in rows.items():
            if not given.quick or name == LINNET:
                command = ["--memory", name, "--sizes", str(count), "--threads", str(given.threads)]
                row["extra_peak_mib"] = in_child(__file__, command)
            extra = row.get("extra_peak_mib") or "-"
            ratios = f"{row['ratio_to_product']:>12}{row['ratio_to_linnet']:>11}"
            print(f"{name:<38}{row['wall_ms']:>10.0f}{ratios}{extra:>11}", flush=True)
        found["sizes"][str(count)] = rows
    return found


def main() -> None:
    """Measure, print, and write FILE."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="10,000 embeddings, one round: within a minute")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--sizes", nargs="+", type=int)
    parser.add_argument(
        "--rows", nargs="+", choices=VARIANTS, default=list(VARIANTS), help="these, and the two that ratios are of"
    )
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--conditions", default="not stated", help="what else the machine was doing")
    parser.add_argument("--memory", choices=VARIANTS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    given.rows = [name for name in VARIANTS if name in {FLOOR, LINNET, *given.rows}]
    given.sizes = given.sizes or (QUICK if given.quick else SIZES)
    given.rounds = given.rounds or (1 if given.quick else 3)
    torch.set_num_threads(given.threads)
    if given.memory:
        print(json.dumps(extra_memory(given.memory, given.sizes[0])))
        return
    found = report(given)
    if given.json:
        files.write_json(given.json, found)


if __name__ == "__main__":
    main()
