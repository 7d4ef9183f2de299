"""Seconds and peak memory of reading a manifest of a million rows, each file in a fresh process.

python benchmarks/manifest_read.py [--rows 1000000] [--repeats 3]

Prints a small JSON and writes it to benchmarks/results/manifest_read.json. Seconds run from before `import
linnet` to the finished Manifest; peak memory is the process's largest resident set.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from linnet.files import write_json
from linnet.manifest import build_manifest, write_manifest
from linnet.tables import Places

_READ = """
import json, sys, time
start, cpu = time.perf_counter(), time.process_time()
from linnet.manifest import read_manifest
manifest = read_manifest(sys.argv[1])
assert len(manifest) == int(sys.argv[2]), len(manifest)
# Not ru_maxrss: that of a child counts what its parent held at the fork.
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM:"))
print(json.dumps({
    "seconds": round(time.perf_counter() - start, 3),
    "cpu_seconds": round(time.process_time() - cpu, 3),
    "peak_mib": round(peak / 1024, 1),
}))
"""


def write_tables(folder: Path, rows: int) -> list[Path]:
    """A million photos of 100 coarse and 10,000 fine classes, half of them without a fine label, in three "
    "splits."""
    draw = np.random.Generator(np.random.PCG64(0))
    fine = draw.integers(10_000, size=rows)
    known = draw.random(rows) < 0.5
    columns = {
        "image": [f"photos/{number // 1000:04d}/image_{number:08d}.jpg" for number in range(rows)],
        "split": np.array(["train", "validation", "test"])[draw.choice(3, size=rows, p=(0.8, 0.1, 0.1))].tolist(),
        "coarse": [f"group {number % 100:02d}" for number in fine],
        "fine": [f"species {number:05d}" if told else "" for number, told in zip(fine, known, strict=True)],
    }
    text = {name: pa.chunked_array([pa.array(column)]) for name, column in columns.items()}
    manifest = build_manifest(
        "drawn",
        folder,
        text["image"],
        text["split"],
        {"coarse": text["coarse"], "fine": text["fine"]},
        Places("row", range(1, rows + 1)),
    )
    targets = [folder / f"manifest.{kind}" for kind in ("csv", "parquet", "jsonl")]
    for target in targets:
        write_manifest(manifest, target)
    return targets


def measure(source: Path, rows: int, repeats: int) -> dict[str, Any]:
    """Best and worst of several fresh processes."""
    command = [sys.executable, "-c", _READ, str(source), str(rows)]
    found = [json.loads(subprocess.check_output(command)) for _ in range(repeats)]
    return {
        "file_mib": round(source.stat().st_size / 2**20, 1),
        **{f"{name}_{best.__name__}": best(one[name] for one in found) for name in found[0] for best in (min, max)},
    }


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    models = [line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    return {
        "processor": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 1),
        "system": platform.platform(),
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).is_file() else []


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    result: dict[str, Any] = {
        "rows": options.rows,
        "repeats": options.repeats,
        "conditions": "fresh process, file in the page cache, 100 coarse and 10,000 fine classes, 3 splits",
        "machine": machine(),
        "versions": {"python": platform.python_version(), "pyarrow": pa.__version__, "numpy": np.__version__},
        "date": datetime.now(UTC).date().isoformat(),
    }
    with tempfile.TemporaryDirectory() as folder:
        for source in write_tables(Path(folder), options.rows):
            result[source.suffix[1:]] = measure(source, options.rows, options.repeats)
    write_json(Path(__file__).parent / "results" / "manifest_read.json", result)
    sys.stdout.write(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
