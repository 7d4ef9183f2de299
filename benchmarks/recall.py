"""Recall@1,2,4,8 by rank counting beside its peers: ratios of one run, and extra peak memory.

    python benchmarks/recall.py --conditions "idle machine"

Random clustered embeddings, leave-one-out, cosine. The variants take turns, so that a busy neighbour meets
all of them; the figure of each is its least CPU time. Peers that are not installed are left out and named.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize

from linnet import files
from linnet.metrics.recall import recall_at_k
from linnet.randomness import torch_generator
from linnet.report.results import machine, versions

__all__ = ["VARIANTS", "main"]

KS = (1, 2, 4, 8)
FLOOR = "product alone (torch mm)"
Figures = dict[int, float]


def data(count: int, width: int) -> tuple[Tensor, Tensor]:
    """`count` embeddings of 100 overlapping classes, float32 (count, width), and their labels."""
    draw = torch_generator(0, "benchmark")
    labels = torch.arange(count) % 100
    centres = torch.randn(100, width, generator=draw)
    return 0.16 * centres[labels] + torch.randn(count, width, generator=draw), labels


def from_neighbours(found: Tensor, labels: Tensor) -> Figures:
    """Recall from the indices of the 8 nearest others, (n, 8)."""
    hits = labels[found] == labels[:, None]
    return {k: 100.0 * float(hits[:, :k].any(1).double().mean()) for k in KS}


def float32(rows: Tensor, labels: Tensor) -> Figures:
    """linnet, float32 tiles."""
    return recall_at_k(rows, labels, KS)


def float64(rows: Tensor, labels: Tensor) -> Figures:
    """linnet, float64 tiles."""
    return recall_at_k(rows, labels, KS, dtype=torch.float64)


def product(rows: Tensor, labels: Tensor) -> Figures:
    """The similarities alone, 1024 queries at a time: what any method without symmetry must at least do."""
    units = normalize(rows)
    for start in range(0, len(units), 1024):
        units[start : start + 1024] @ units.T
    return {}


def topk(rows: Tensor, labels: Tensor) -> Figures:
    """torch mm and topk, 1024 queries at a time."""
    units, found = normalize(rows), []
    for start in range(0, len(units), 1024):
        s = units[start : start + 1024] @ units.T
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
    knn = inference.CustomKNN(distances.CosineSimilarity(), batch_size=1024)
    calculators = import_module(f"{peer}.utils.accuracy_calculator")
    calculator = calculators.AccuracyCalculator(include=("precision_at_1",), k=1, knn_func=knn)
    return {1: 100.0 * calculator.get_accuracy(rows, labels)["precision_at_1"]}


VARIANTS: dict[str, tuple[str, Callable[[Tensor, Tensor], Figures]]] = {
    FLOOR: ("torch", product),
    "linnet": ("torch", float32),
    "linnet, float64": ("torch", float64),
    "torch mm + topk": ("torch", topk),
    "faiss IndexFlatIP": ("faiss", faiss_flat),
    "pytorch-metric-learning (@1 only)": ("pytorch_metric_learning", metric_learning),
}
DISTRIBUTIONS = {"faiss": "faiss-cpu", "pytorch_metric_learning": "pytorch-metric-learning"}


def extra_memory(name: str, count: int, width: int) -> float:
    """Peak memory of one variant above its inputs, MiB; to be called in a process of its own."""
    rows, labels = data(count, width)
    VARIANTS[name][1](rows[:256].clone(), labels[:256])  # imports and library buffers
    Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status")
    before = dict(line.split(":", 1) for line in status.read_text().splitlines())
    VARIANTS[name][1](rows, labels)
    after = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return (int(after["VmHWM"].split()[0]) - int(before["VmRSS"].split()[0])) / 1024


def measure(count: int, width: int, rounds: int, threads: int) -> list[dict[str, object]]:
    """One entry for each variant that can run here."""
    here = [name for name, (module, _) in VARIANTS.items() if importlib.util.find_spec(module)]
    rows, labels = data(count, width)
    seconds: dict[str, float] = {}
    figures: dict[str, Figures] = {}
    for _ in range(rounds):
        for name in here:
            start = time.process_time()
            figures[name] = VARIANTS[name][1](rows, labels)
            seconds[name] = min(time.process_time() - start, seconds.get(name, float("inf")))
    entries: list[dict[str, object]] = []
    for name in here:
        command = [sys.executable, __file__, "--memory", name, "-n", str(count), "-d", str(width)]
        said = subprocess.run([*command, "--threads", str(threads)], check=True, capture_output=True, text=True)
        entries.append(
            {
                "variant": name,
                "cpu_seconds": round(seconds[name], 3),
                "ratio_to_linnet": round(seconds[name] / seconds["linnet"], 2),
                "ratio_to_product": round(seconds[name] / seconds[FLOOR], 2),
                "extra_peak_mib": round(json.loads(said.stdout), 1),
                "recall": {str(k): round(value, 4) for k, value in figures[name].items()},
            }
        )
    return entries


def main() -> None:
    """Measure, print, and write benchmarks/results/recall.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=10_000)
    parser.add_argument("-d", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="with 1, CPU seconds do not count idle waiting")
    parser.add_argument("--conditions", default="not stated", help="what else the machine was doing")
    parser.add_argument("--memory", help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if given.memory:
        print(json.dumps(extra_memory(given.memory, given.n, given.d)))
        return
    entries = measure(given.n, given.d, given.rounds, given.threads)
    found = {name for module, name in DISTRIBUTIONS.items() if importlib.util.find_spec(module)}
    what = f"recall@{KS} leave-one-out by cosine, n={given.n}, D={given.d}"
    settings = f"-n {given.n} -d {given.d} --rounds {given.rounds} --threads {given.threads}"
    report = {
        "what": f"{what}; cpu_seconds: the least of {given.rounds} rounds with {given.threads} thread(s)",
        "conditions": given.conditions,
        "machine": machine(),
        "versions": versions() | {name: version(name) for name in sorted(found)},
        "not_installed": sorted(set(DISTRIBUTIONS.values()) - found),
        "command": f"python benchmarks/recall.py {settings}",
        "date": datetime.now(UTC).date().isoformat(),
        "variants": entries,
    }
    files.write_json(Path(__file__).parent / "results" / "recall.json", report)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
