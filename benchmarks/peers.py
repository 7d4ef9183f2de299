"""Peers of a benchmark, each in a process of its own, that take turns: other load meets all, no memory is shared.

A script that is started with `--serve NAME` calls `serve` with that peer's work; the one that started it calls
`take_turns`.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import psutil

__all__ = ["rates", "serve", "take_turns"]

Rounds = dict[str, list[dict[str, float]]]


def serve(work: Callable[[], int]) -> None:
    """Do `work` once for every line on stdin, and print what it took; it returns how many images it saw.

    One line of JSON each: wall and CPU seconds (of this process and those it started), and images.
    """
    print("ready", flush=True)
    for _ in sys.stdin:
        cpu, wall = _cpu_seconds(), time.perf_counter()
        images = work()
        taken = {"wall": time.perf_counter() - wall, "cpu": _cpu_seconds() - cpu, "images": images}
        print(json.dumps(taken), flush=True)


def _cpu_seconds() -> float:
    me = psutil.Process()
    times = [process.cpu_times() for process in (me, *me.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def take_turns(script: str, peers: Sequence[str], arguments: Sequence[str], rounds: int) -> Rounds:
    """What each peer took in each round; a round before the first is not counted."""
    pipe = subprocess.PIPE
    children = {
        name: subprocess.Popen(
            [sys.executable, script, *arguments, "--serve", name], stdin=pipe, stdout=pipe, text=True
        )
        for name in peers
    }
    taken: Rounds = {name: [] for name in peers}
    try:
        for name, child in children.items():
            _answer(name, child)  # one after the other: they need not compete while they begin
        for number in range(rounds + 1):
            for name, child in children.items():
                assert child.stdin is not None
                child.stdin.write("go\n")
                child.stdin.flush()
                found = json.loads(_answer(name, child))
                if number:
                    taken[name].append(found)
    finally:
        for child in children.values():
            child.communicate()
    return taken


def _answer(name: str, child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    for line in child.stdout:
        if line.startswith(("ready", "{")):
            return line
    raise SystemExit(f"{name} ended with exit status {child.wait()}")


def rates(rounds: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Medians over the rounds: images a second of wall time, and of CPU time (that is, per busy core)."""
    return {
        "images_per_s": round(statistics.median(each["images"] / each["wall"] for each in rounds), 1),
        "images_per_cpu_s": round(statistics.median(each["images"] / each["cpu"] for each in rounds), 1),
        "rounds": len(rounds),
    }
