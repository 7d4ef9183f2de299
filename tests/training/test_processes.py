"""Runs of several processes whose instance head is in parts: resumed to the same bits, and by other numbers of them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from linnet import files
from linnet.training.checkpoint import Checkpoints
from tests.training.tiny import best_state

ROOT = Path(__file__).parents[2]

_WORKER = """
import os, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from linnet.training import loop
from linnet.training.api import train
from tests.training.tiny import tiny_manifest, tiny_recipe
folder, last = Path(sys.argv[1]), int(sys.argv[2])
loop.CHECKPOINT_SECONDS = 0.0  # after every step
step, taken = loop.Loop._step, 0
def counted(*given):
    global taken
    if taken == last:
        if torch.distributed.is_initialized():
            torch.distributed.barrier()
        os._exit(0)
    taken += 1
    return step(*given)
loop.Loop._step = counted
recipe = tiny_recipe(method="coins", epochs=2, batch_size=36, validation=0.25, threads=1)
train(recipe, folder, tiny_manifest(), resume=True, progress=False)
"""


def launch(world: int, folder: Path, last: int = -1) -> None:
    """Train in `world` processes, as torchrun would start them; `last` ends them before that step."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = []
    for rank in range(world):
        names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world}
        names |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
        environment |= {name: str(value) for name, value in names.items()} if world > 1 else {}
        command = [sys.executable, "-c", _WORKER, str(folder), str(last)]
        started.append(subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True))
    errors = [process.communicate(timeout=240)[1] for process in started]
    assert [process.returncode for process in started] == [0] * world, "\n".join(errors)


def final(folder: Path) -> dict[str, torch.Tensor]:
    resumed = Checkpoints(folder / "checkpoints").load_latest()
    assert resumed is not None
    assert resumed[1].finished
    return resumed[0]


@pytest.mark.slow
def test_runs_of_two_processes_resume_to_the_same_bits(tmp_path: Path) -> None:
    """Ended within an epoch; the checkpoint holds the whole head, most of it of the other process."""
    launch(2, tmp_path / "whole")
    launch(2, tmp_path / "broken", 5)
    launch(2, tmp_path / "broken")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert files.digest(broken / "bundle/weights.safetensors") == files.digest(whole / "bundle/weights.safetensors")
    assert files.digest(best_state(broken)) == files.digest(best_state(whole))
    weight = final(tmp_path / "whole")["model.instance_head.weight"]
    assert torch.equal(weight, final(tmp_path / "broken")["model.instance_head.weight"])
    assert len(weight) == files.read_json(tmp_path / "whole/training.json")["images"]["train"]


@pytest.mark.slow
def test_a_run_goes_on_with_other_numbers_of_processes(tmp_path: Path) -> None:
    """Two, then three, then one: the same steps but for rounding and for batch norm, which sees each share alone."""
    folder = tmp_path / "run"
    for world, last in ((2, 3), (3, 2), (1, -1)):
        launch(world, folder, last)
    assert "model.instance_head.velocity" in final(folder)
    steps = [json.loads(line)["loss/instance"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert len(steps) == 2
    assert steps[1] < steps[0]
