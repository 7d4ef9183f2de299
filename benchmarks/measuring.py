"""What several benchmarks need: steps timed in turns, peak memory, allocators, processes of their own."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["ALLOCATORS", "extra_peak_mib", "in_child", "in_turns"]

ALLOCATORS: dict[str, dict[str, str]] = {
    "default": {},
    # Freed memory stays with the process, so that large temporaries do not come as new, empty pages in every step.
    "warmed": {"MALLOC_MMAP_THRESHOLD_": str(1 << 40), "MALLOC_TRIM_THRESHOLD_": str(1 << 42), "MALLOC_ARENA_MAX": "1"},
}
"""Settings of glibc's allocator, which torch takes its CPU memory from."""


def in_turns(steps: Mapping[str, Callable[[], object]], repeats: Mapping[str, int], rounds: int) -> dict[str, Any]:
    """Medians a step of wall and CPU milliseconds (all threads) and of page faults.

    In each round every peer takes its `repeats` steps, so that other load meets all of them; the first round is not
    counted.
    """
    taken: dict[str, list[tuple[float, float, int]]] = {name: [] for name in steps}
    for number in range(rounds + 1):
        for name, step in steps.items():
            for _ in range(repeats[name]):
                faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
                cpu, wall = time.process_time(), time.perf_counter()
                step()
                wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
                faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults
                if number:
                    taken[name].append((1000 * wall, 1000 * cpu, faults))
    return {
        name: {
            "wall_ms": round(statistics.median(each[0] for each in samples), 2),
            "cpu_ms": round(statistics.median(each[1] for each in samples), 2),
            "least_wall_ms": round(min(each[0] for each in samples), 2),
            "page_faults": int(statistics.median(each[2] for each in samples)),
            "samples": len(samples),
        }
        for name, samples in taken.items()
    }


def extra_peak_mib(work: Callable[[], object]) -> float:
    """Most memory that `work` takes above what the process holds before it; to be called in a process of its own.

    The larger of two: the high-water mark of all that is resident, and of samples of what no file backs. The former
    misses what a system short of memory takes away meanwhile, such as pages of libraries, and the latter what is short.
    """
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # or `work` would find room in what others have freed
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark falls to what is resident
    before, own = _status("VmRSS"), _status("RssAnon")
    most, done = [own], threading.Event()
    sampler = threading.Thread(target=_sample, args=(most, done))
    sampler.start()
    work()
    done.set()
    sampler.join()
    return max(_status("VmHWM") - before, most[0] - own) / 1024


def _sample(most: list[int], done: threading.Event) -> None:
    while not done.wait(0.001):
        most[0] = max(most[0], _status("RssAnon"))


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def in_child(script: str, arguments: list[str], allocator: str = "default") -> Any:
    """What `script` prints as JSON on its last line, run in a fresh process with one of `ALLOCATORS`.

    None where the process was killed, as one is that needs more memory than there is.
    """
    command = [sys.executable, script, *arguments]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=False, env=os.environ | ALLOCATORS[allocator]
    )
    if done.returncode < 0:
        return None
    done.check_returncode()
    return json.loads(done.stdout.splitlines()[-1])
