"""Search over many vectors, exact and approximate, beside faiss's flat index and a plain product with top-k.

    python benchmarks/search.py [--quick] [--json FILE] [--rows 1000000] [--variants NAME ...] [--folder DIR]

Synthetic unit vectors of 512 numbers around 3,000 centres, the r-th in proportion to 1 / (r + 10) so that classes are
uneven (a third of a vector's square length is its centre's), in a memory-mapped file of float32; queries are other
draws around them, 10 neighbours each. What a vector has beside its centre lies in all 512 directions, which is the
hardest that approximate search can meet; trained embeddings spread over some tens of dimensions, and so does it with
--spread 32. *brute force* is float32
products in blocks with top-k, the plain way. Searches take turns in one process and are medians after a round that does
not count; building is timed once. The truth is linnet's exact search, itself checked against float64 on some queries.
Memory is what a variant holds besides the vectors in their file: of an index that lies in memory, its size.
A FILE that is there is added to, variant by variant: those left out keep their figures.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin crawl where cores are shared

import numpy as np
import torch
from measuring import in_turns
from numpy.typing import NDArray

from linnet import files
from linnet.metrics.unit_vectors import Units, unit_rows
from linnet.randomness import generator
from linnet.search.approximate import build_approximate, open_approximate
from linnet.search.exact import exact_search, greatest_loss, shared
from linnet.training.environment import environment

__all__ = ["VARIANTS", "main"]

WIDTH, CENTRES, K, BLOCK = 512, 3000, 10, 1 << 16
VARIANTS = ("brute force", "faiss flat", "linnet exact", "linnet ivf", "linnet hnsw")

Vectors = NDArray[np.float32]
Search = Callable[[Vectors], NDArray[np.int64]]


def draw(count: int, key: int, spread: int) -> Vectors:
    """Clustered unit vectors, float32 (count, 512); rows leave their centres in `spread` directions."""
    centres = generator(0, "search centres").standard_normal((CENTRES, WIDTH), dtype=np.float32)
    each = generator(0, "search rows", key)
    share = 1 / (np.arange(CENTRES) + 10)
    labels = each.choice(CENTRES, count, p=share / share.sum())
    beside = each.standard_normal((count, spread), dtype=np.float32)
    if spread < WIDTH:
        axes = np.linalg.qr(generator(0, "search axes").standard_normal((WIDTH, spread)))[0]
        beside = beside @ (axes.T * (WIDTH / spread) ** 0.5).astype(np.float32)
    rows = 0.7 * centres[labels] + beside
    return unit_rows(rows, "drawn").exact.numpy()


def vectors(count: int, folder: Path, spread: int) -> Vectors:
    """`count` vectors in a file, which is written once."""
    path = files.make_folder(folder) / f"vectors-{count}-{CENTRES}-{spread}.f32"
    if not path.exists() or path.stat().st_size != count * WIDTH * 4:
        files.remove(path)
        for start in range(0, count, BLOCK):
            block = draw(min(BLOCK, count - start), start, spread)
            files.append_bytes(path, [block.data.cast("B")], start * WIDTH * 4)
    return np.memmap(path, "<f4", mode="r", shape=(count, WIDTH))


def brute_force(gallery: Vectors, query: Vectors) -> NDArray[np.int64]:
    """Products of blocks in float32, each one's best, and the best of those."""
    rows, asked = shared(gallery), torch.from_numpy(query)
    values, found = [], []
    for start in range(0, len(gallery), BLOCK):
        best = (asked @ rows[start : start + BLOCK].T).topk(min(K, len(rows) - start))
        values.append(best.values)
        found.append(best.indices + start)
    return torch.cat(found, 1).gather(1, torch.cat(values, 1).topk(K).indices).numpy()


def faiss_flat(gallery: Vectors, folder: Path) -> tuple[Search, dict[str, Any]]:
    """faiss IndexFlatIP, which holds a copy."""
    faiss = import_module("faiss")
    faiss.omp_set_num_threads(torch.get_num_threads())
    inner = faiss.IndexFlatIP(WIDTH)
    for start in range(0, len(gallery), BLOCK):
        inner.add(np.ascontiguousarray(gallery[start : start + BLOCK]))
    return lambda query: inner.search(query, K)[1], {"memory_mib": round(gallery.nbytes / 2**20)}


def exact(gallery: Vectors, folder: Path) -> tuple[Search, dict[str, Any]]:
    """linnet's exact search in the file."""
    lost = {getattr(torch, name): value for name, value in greatest_loss(gallery).items()}

    def search(query: Vectors) -> NDArray[np.int64]:
        return exact_search(gallery, Units(torch.from_numpy(query)), K, lost=lost)[1]

    return search, {"memory_mib": 0}


def approximate(kind: str, gallery: Vectors, folder: Path) -> tuple[Search, dict[str, Any]]:
    """linnet's approximate search."""
    said = build_approximate(folder, gallery, kind, tell=lambda text: print(f"  {text}", flush=True))
    opened = open_approximate(folder, said)
    size = (folder / said["file"]).stat().st_size

    def search(query: Vectors) -> NDArray[np.int64]:
        return opened.search(gallery, Units(torch.from_numpy(query)), K)[1]

    told = {name: said[name] for name in ("parameters", "effort", "tried")}
    return search, {"memory_mib": round(size / 2**20), "build_seconds": said["build_seconds"], **told}


OPENERS: dict[str, Callable[[Vectors, Path], tuple[Search, dict[str, Any]]]] = {
    "brute force": lambda gallery, folder: (partial(brute_force, gallery), {"memory_mib": 0}),
    "faiss flat": faiss_flat,
    "linnet exact": exact,
    "linnet ivf": partial(approximate, "ivf"),
    "linnet hnsw": partial(approximate, "hnsw"),
}


def recall(found: NDArray[np.int64], truth: NDArray[np.int64]) -> float:
    """Share of the true neighbours that were found, percent."""
    hits = sum(len(np.intersect1d(a, b)) for a, b in zip(found, truth, strict=True))
    return round(100 * hits / truth.size, 3)


def wrong_rows(gallery: Vectors, query: Vectors, truth: NDArray[np.int64]) -> int:
    """How many of the neighbours of some queries float64 would list otherwise."""
    s = np.concatenate(
        [
            query.astype(np.float64) @ gallery[start : start + BLOCK].astype(np.float64).T
            for start in range(0, len(gallery), BLOCK)
        ],
        axis=1,
    )
    return int((np.argsort(-s, axis=1, kind="stable")[:, :K] != truth).sum())


def measure(gallery: Vectors, given: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    """Build each variant, and time all in turns, with many queries at once and with one."""
    searches: dict[str, Search] = {}
    found: dict[str, Any] = {}
    for name in names:
        began, spent = time.perf_counter(), time.process_time()
        searches[name], about = OPENERS[name](gallery, given.folder)
        seconds = round(time.perf_counter() - began, 1), round(time.process_time() - spent, 1)
        found[name] = {"build_seconds": seconds[0], "build_cpu_seconds": seconds[1], **about}
        print(f"{name}: ready after {time.perf_counter() - began:.0f} s", flush=True)
    many = draw(given.queries, 2**31, given.spread)  # no block of the gallery has this key
    truth = searches["linnet exact"](many)
    wrong = wrong_rows(gallery, many[:8], truth[:8])
    assert wrong == 0, f"{wrong} neighbours differ from float64"
    for label, query in (("batch", many), ("single", many[:1])):
        timed = in_turns(
            {name: partial(search, query) for name, search in searches.items()}, dict.fromkeys(names, 1), given.rounds
        )
        for name, row in timed.items():
            floor = timed["brute force"]
            found[name][label] = {
                "queries": len(query),
                "queries_per_second": round(1e3 * len(query) / row["wall_ms"], 2),
                "ratio_to_brute_force": round(row["wall_ms"] / floor["wall_ms"], 4),
                "cpu_ratio_to_brute_force": round(row["cpu_ms"] / max(floor["cpu_ms"], 1e-3), 4),
                **row,
            }
    for name, search in searches.items():
        found[name]["recall@10"] = recall(search(many), truth)
    return found


def report(given: argparse.Namespace) -> dict[str, Any]:
    """What was asked for, added to what FILE holds."""
    before = files.read_json(given.json) if given.json and given.json.exists() else {}
    sizes = before.get("sizes", {})
    names = [name for name in VARIANTS if name in {"brute force", "linnet exact", *given.variants}]
    gallery = vectors(given.rows, given.folder, given.spread)
    size = str(given.rows) + (f", spread {given.spread}" if given.spread < WIDTH else "")
    rows = measure(gallery, given, names)
    run = {
        "conditions": given.conditions,
        "rounds": given.rounds,
        "threads": given.threads,
        "command": " ".join(["python benchmarks/search.py", *sys.argv[1:]]),
        "date": datetime.now(UTC).date().isoformat(),
    }
    headings = f"{'build s':>9}{'MiB':>7}{'q/s, many':>11}{'ratio':>8}{'q/s, one':>10}{'recall':>9}"
    print(f"\n{f'{given.rows} x {WIDTH}':<28}{headings}")
    for name, row in rows.items():
        row["run"] = run
        many, one = row["batch"], row["single"]
        print(
            f"{name:<28}{row['build_seconds']:>9}{row['memory_mib']:>7}{many['queries_per_second']:>11}"
            f"{many['ratio_to_brute_force']:>8}{one['queries_per_second']:>10}{row['recall@10']:>9}",
            flush=True,
        )
    about = environment(torch.device("cpu"))
    about["versions"]["faiss"] = getattr(import_module("faiss"), "__version__", "?")
    what = f"{K} nearest of D={WIDTH} unit vectors around {CENTRES} uneven centres, cosine"
    return {"what": what, **about, "sizes": sizes | {size: sizes.get(size, {}) | rows}}


def main() -> None:
    """Measure, print, and write FILE."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="50,000 vectors, one round: within a minute")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--spread", type=int, default=WIDTH, help="directions in which rows leave their centres")
    parser.add_argument("--queries", type=int, default=256, help="at once")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path("runs/search-benchmark"), help="where the vectors lie")
    parser.add_argument("--conditions", default="not stated", help="what else the machine was doing")
    given = parser.parse_args()
    given.rows = given.rows or (50_000 if given.quick else 1_000_000)
    given.rounds = given.rounds or (1 if given.quick else 3)
    torch.set_num_threads(given.threads)
    found = report(given)
    if given.json:
        files.write_json(given.json, found)


if __name__ == "__main__":
    main()
