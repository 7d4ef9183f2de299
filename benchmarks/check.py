"""`linnet check` beside plain decoding in the same run, its memory over many rows, and its look-up of near codes.

python benchmarks/check.py [--quick] [--json FILE] [--photos N] [--rows N] [--threads N] [--folder DIR]

Photos are drawn (see photos.py) and decoded in turns by: a loop of Pillow that decodes in full, one that decodes at an
eighth as the pass does, and the pass itself; so are those in DIR, if it is given. Memory: the whole examination of
`rows` links to the photos (or to those in DIR), in a process of its own, beside that of a tenth of them. Look-up:
random codes with planted near ones.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from measuring import extra_peak_mib, in_child
from photos import write_photos
from PIL import Image

from linnet.doctor import examine
from linnet.doctor.duplicates import RADIUS
from linnet.doctor.near import near_pairs
from linnet.doctor.scan import scan_images
from linnet.files import write_json
from linnet.images.jpeg import decoder_name
from linnet.manifest import read_manifest
from linnet.randomness import generator
from linnet.recipes import Recipe

_EIGHTH = 32


def write_table(folder: Path, photos: list[Path], rows: int) -> Path:
    """A table of `rows` symbolic links to the photos, in four classes and two splits."""
    links = folder / f"links-{rows}"
    lines = ["image,split,coarse,fine"]
    for number in range(rows):
        target = links / f"{number // 1000:04d}" / f"{number:07d}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(photos[number % len(photos)].absolute())
        split = "test" if number % 5 == 0 else "train"
        lines.append(f"{target},{split},group {number % 2},kind {number % 4}")
    path = folder / f"rows-{rows}.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def decode_full(path: Path) -> None:
    """Decode every pixel, by Pillow."""
    with Image.open(path) as image:
        image.load()


def decode_eighth(path: Path) -> None:
    """Decode at the smallest scale that leaves as many pixels as the pass wants, by Pillow."""
    with Image.open(path) as image:
        shrink = min(image.size) / _EIGHTH
        image.draft(None, (int(image.width / shrink), int(image.height / shrink)))
        image.load()


def throughput(table: Path, threads: int, rounds: int) -> dict[str, Any]:
    """Images a second of the two loops and of the pass, each the median of rounds taken in turns."""
    manifest = read_manifest(table)
    paths = [manifest.path(row) for row in range(len(manifest))]

    def loop(decode: Callable[[Path], None]) -> Callable[[], None]:
        def work() -> None:
            with ThreadPoolExecutor(threads) as pool:
                for _ in pool.map(decode, paths):
                    pass

        return work

    peers: dict[str, Callable[[], object]] = {
        "decode in full": loop(decode_full),
        "decode at an eighth": loop(decode_eighth),
        "linnet's pass": lambda: scan_images(manifest, threads),
    }
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in peers}
    for number in range(rounds + 1):  # the first is not counted
        for name, work in peers.items():
            wall, cpu = time.perf_counter(), time.process_time()
            work()
            if number:
                taken[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    walls = {name: float(np.median([wall for wall, _ in samples])) for name, samples in taken.items()}
    cpus = {name: float(np.median([cpu for _, cpu in samples])) for name, samples in taken.items()}
    return {
        name: {
            "images_per_second": round(len(paths) / walls[name], 1),
            "images_per_cpu_second": round(len(paths) / cpus[name], 1),
            "rate_to_full_decoding": round(walls["decode in full"] / walls[name], 3),
            "cpu_rate_to_full_decoding": round(cpus["decode in full"] / cpus[name], 3),
        }
        for name in peers
    }


def memory(table: Path, threads: int) -> dict[str, Any]:
    """Peak memory of a whole examination above what the process held before, and its time; in a fresh process."""
    start = time.perf_counter()

    def work() -> None:
        examine(read_manifest(table), Recipe.read({"data": str(table)}), workers=threads)

    peak = extra_peak_mib(work)
    return {"extra_peak_mib": round(peak, 1), "seconds": round(time.perf_counter() - start, 1)}


def look_up(count: int) -> dict[str, Any]:
    """Seconds to find all pairs within RADIUS bits among `count` random codes, a hundredth of them planted."""
    codes = generator(0, "codes").integers(0, 1 << 63, count, dtype=np.uint64)
    planted = count // 100
    codes[-planted:] = codes[:planted] ^ np.uint64(0b1001001 << 20)
    found: list[int] = []
    wall, cpu = time.perf_counter(), time.process_time()
    peak = extra_peak_mib(lambda: found.append(sum(len(pairs.ones) for pairs in near_pairs(codes, RADIUS))))
    return {
        "codes": count,
        "seconds": round(time.perf_counter() - wall, 2),
        "cpu_seconds": round(time.process_time() - cpu, 2),  # of the sampler of memory, too
        "extra_peak_mib": round(peak, 1),
        "pairs": found[0],
        "planted": planted,
    }


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer photos and rows")
    parser.add_argument("--json", type=Path, default=Path(__file__).parent / "results" / "check.json")
    parser.add_argument("--photos", type=int, default=400)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="JPEG files to link the rows to whose memory is measured")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--conditions", default="", help="what else ran on the machine")
    parser.add_argument("--part", nargs=2, metavar=("NAME", "OF"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        logging.disable()
        name, of = options.part
        found = memory(Path(of), options.threads) if name == "memory" else look_up(int(of))
        sys.stdout.write(json.dumps(found) + "\n")
        return
    if options.quick:
        options.photos, options.rows = min(options.photos, 60), min(options.rows, 2000)
    with tempfile.TemporaryDirectory() as name:
        result = measure(Path(name), options)
    write_json(options.json, result)
    sys.stdout.write(json.dumps(result, indent=2) + "\n")


def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """All parts, and the conditions they were measured in."""
    write_photos(folder / "photos", options.photos)
    drawn = sorted((folder / "photos").rglob("*.jpg"))
    linked = drawn if options.folder is None else sorted(options.folder.rglob("*.jpg"))[: options.photos]
    threads, counts = str(options.threads), (10_000, 30_000) if options.quick else (10_000, 100_000, 1_000_000)
    return {
        "conditions": options.conditions,
        "photos": about(drawn, "drawn, 500 x 375, see benchmarks/photos.py"),
        "linked_photos": about(linked, "the same" if options.folder is None else str(options.folder.name)),
        "threads": options.threads,
        "machine": {
            "processor": processor(),
            "cores": os.cpu_count(),
            "system": platform.platform(),
            "load_before": round(os.getloadavg()[0], 1),
        },
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "decoder": f"the pass: {decoder_name()}; the loops: Pillow {PIL.__version__}",
        },
        "date": datetime.now(UTC).date().isoformat(),
        "throughput": throughput(write_table(folder, drawn, 2 * len(drawn)), options.threads, options.rounds),
        "throughput_linked": throughput(write_table(folder, linked, 4 * len(linked)), options.threads, options.rounds)
        if options.folder is not None
        else None,
        "look_up": [in_child(__file__, ["--part", "look-up", str(count)]) for count in counts],
        "memory": [
            {"rows": rows, **in_child(__file__, ["--threads", threads, "--part", "memory", str(table)])}
            for rows in (options.rows // 10, options.rows)
            for table in [write_table(folder, linked, rows)]
        ],
    }


def about(photos: list[Path], source: str) -> dict[str, Any]:
    """How many, where from, and how large."""
    size = sum(photo.stat().st_size for photo in photos) / len(photos) / 1000
    return {"count": len(photos), "source": source, "mean_kilobytes": round(size, 1)}


def processor() -> str:
    """The processor's name."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


if __name__ == "__main__":
    main()
