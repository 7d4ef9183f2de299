"""Train in forked children that are killed at random moments and resumed; run as a script by test_resume.

usage: kill.py FOLDER METHOD KILLS

Forked from a parent that has torch loaded, so a trial costs a second and not an import. Prints how many were killed.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import torch

from linnet.randomness import generator
from linnet.training import loop
from linnet.training.api import train
from tests.training.tiny import tiny_manifest, tiny_recipe


def attempt(folder: Path, method: str, seconds: float | None) -> bool:
    """One child that trains or resumes; True when it was killed before it ended."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            torch.set_num_threads(1)
            recipe = tiny_recipe(method=method, epochs=6, batch_size=16, width=8, threads=1)
            train(recipe, folder, tiny_manifest(), resume=True, progress=False)
            code = 0
        finally:
            os._exit(code)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    assert os.WEXITSTATUS(status) == 0, "training failed"
    return False


def main(folder: Path, method: str, kills: int) -> None:
    """Kill `kills` times, over as many whole runs as that takes, and let the last run end."""
    loop.CHECKPOINT_SECONDS = loop.EPOCH_SECONDS = 0.0  # after every step and every epoch
    started = time.monotonic()
    attempt(folder / "unbroken", method, None)
    whole = time.monotonic() - started
    draws = generator(0, "kills", os.getpid())
    done, number = 0, 0
    while done < kills:
        run = folder / f"broken-{number}"
        while done < kills and attempt(run, method, float(draws.uniform(0.02, 0.5)) * whole):
            done += 1
        attempt(run, method, None)
        number += 1
    sys.stdout.write(f"{done} {number}\n")


if __name__ == "__main__":
    tiny_manifest()
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
