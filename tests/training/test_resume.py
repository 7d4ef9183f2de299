"""Kill -9 at random moments and resume: the same bits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim import Optimizer

from linnet import files
from linnet.errors import RunError
from linnet.recipes import check_options
from linnet.training.api import train
from linnet.training.checkpoint import Checkpoints
from linnet.training.loop import Loop
from tests.training.tiny import best_state, tiny_manifest, tiny_recipe

ROOT = Path(__file__).parents[2]


def _lines(folder: Path) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


@pytest.mark.parametrize("method", ["coarse", "coins"])
def test_killed_runs_end_with_the_same_bits(method: str, tmp_path: Path) -> None:
    """Ten kills of each of two methods; weights, choice of epoch and every logged figure."""
    command = [sys.executable, "-m", "tests.training.kill", str(tmp_path), method, "10"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    kills, runs = map(int, done.stdout.split())
    assert kills == 10
    whole = tmp_path / "unbroken"
    for number in range(runs):
        broken = tmp_path / f"broken-{number}"
        assert files.digest(broken / "bundle/weights.safetensors") == files.digest(whole / "bundle/weights.safetensors")
        assert files.digest(best_state(broken)) == files.digest(best_state(whole))
        assert _lines(broken) == _lines(whole)


def test_two_do_not_train_in_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second training is refused while the first works, begun anew or resumed, and the first ends as if alone."""
    recipe, folder = tiny_recipe(epochs=1), tmp_path / "run"
    plain, refused = Loop.run, []

    def meanwhile(loop: Loop) -> object:
        if not refused:
            for resume in (False, True):
                with pytest.raises(RunError, match="another process is writing a run to") as said:
                    train(recipe, folder, tiny_manifest(), resume=resume, progress=False)
                refused.append(said)
        return plain(loop)

    monkeypatch.setattr(Loop, "run", meanwhile)
    train(recipe, folder, tiny_manifest(), progress=False)
    alone = train(recipe, tmp_path / "alone", tiny_manifest(), progress=False)
    assert len(refused) == 2
    assert {path.name for path in folder.iterdir()} == {path.name for path in alone.folder.iterdir()}
    weights = "bundle/weights.safetensors"
    assert files.digest(folder / weights) == files.digest(alone.folder / weights)


def test_what_a_killed_run_left_half_written_goes(tmp_path: Path) -> None:
    """A checkpoint can be large, and a run killed often. The names are those that a kill while writing leaves."""
    program = """
import os, signal, sys, threading, time
from contextlib import suppress
from pathlib import Path
import numpy as np
from safetensors.numpy import save_file
from linnet import files
folder = Path(sys.argv[1])

def begun(path: Path) -> bool:
    with suppress(FileNotFoundError):  # a file that only asked for the permissions here is soon gone
        return path.stat().st_size > 0
    return False

def kill() -> None:
    while not any(map(begun, folder.iterdir())):
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGKILL)

threading.Thread(target=kill, daemon=True).start()
with files.atomic_path(folder / "checkpoint.safetensors") as aside:
    save_file({str(n): np.zeros(2**20, np.uint8) for n in range(200)}, aside) if sys.argv[2] == "inner" else None
    aside.write_bytes(b"half")
    time.sleep(60)
"""
    recipe, folder = tiny_recipe(epochs=1), tmp_path / "run"
    train(recipe, folder, tiny_manifest(), progress=False)
    there = {path.name for path in (folder / "checkpoints").iterdir()}
    for kind in ("inner", "outer"):
        left = tmp_path / kind
        left.mkdir()
        subprocess.run([sys.executable, "-c", program, str(left), kind], cwd=ROOT, check=False, timeout=60)
        (half,) = left.iterdir()
        half.rename(folder / "checkpoints" / half.name)
    assert len(list((folder / "checkpoints").iterdir())) == len(there) + 2
    train(recipe, folder, tiny_manifest(), resume=True, progress=False)
    assert {path.name for path in (folder / "checkpoints").iterdir()} == there


def test_resume_checks_that_it_is_the_same_run(tmp_path: Path) -> None:
    """Another setting, or a folder taken without --resume, is one clear error; free settings may differ."""
    recipe, folder = tiny_recipe(epochs=1), tmp_path / "run"
    train(recipe, folder, tiny_manifest(), progress=False)
    with pytest.raises(RunError, match="already holds a run; add --resume"):
        train(recipe, folder, tiny_manifest(), progress=False)
    with pytest.raises(RunError, match=r"lr: 0.05 then, 0.1 now"):
        train(recipe.change(lr=0.1), folder, tiny_manifest(), resume=True, progress=False)
    again = train(recipe.change(workers=1), folder, tiny_manifest(), resume=True, progress=False)
    assert again.summary["best_epoch"] == 1


def test_options_that_were_left_out_are_their_defaults(tmp_path: Path) -> None:
    """A recipe made in Python need not name them; the command line does, and resumes its run."""
    recipe = tiny_recipe(method="fine", epochs=1)
    whole = check_options(recipe)
    assert recipe.options != whole.options
    train(recipe, tmp_path / "run", tiny_manifest(), progress=False)
    assert train(whole, tmp_path / "run", tiny_manifest(), resume=True, progress=False).recipe.options == whole.options
    files.write_json(tmp_path / "run/recipe.json", recipe.model_dump(mode="json"))  # as an older Linnet stored it
    train(whole, tmp_path / "run", tiny_manifest(), resume=True, progress=False)


def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And when all are damaged the run says so."""
    monkeypatch.setattr("linnet.training.loop.EPOCH_SECONDS", 0.0)
    folder = tmp_path / "run"
    train(tiny_recipe(epochs=3), folder, tiny_manifest(), progress=False)
    checkpoints = folder / "checkpoints"
    index = files.read_json(checkpoints / "index.json")
    assert len(index) == 2
    newest, older = (checkpoints / entry["file"] for entry in reversed(index))
    before = files.digest(folder / "bundle/weights.safetensors")
    newest.write_bytes(newest.read_bytes()[:-1])
    train(tiny_recipe(epochs=3), folder, tiny_manifest(), resume=True, progress=False)
    assert files.digest(folder / "bundle/weights.safetensors") == before
    for path in (newest, older):
        path.write_bytes(b"cut short")
    with pytest.raises(RunError, match="every checkpoint is damaged"):
        train(tiny_recipe(epochs=3), folder, tiny_manifest(), resume=True, progress=False)


def _killed_after_the_third_epoch(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run whose best epoch is its third, ended when that is written; the last checkpoint is of the first epoch."""
    figures = iter((50.0, 40.0, 60.0))
    with monkeypatch.context() as breaking:
        breaking.setattr(Loop, "_select", lambda self, measured: _chosen(self, next(figures)))
        breaking.setattr("linnet.training.loop.EPOCH_SECONDS", 0.0)
        breaking.setattr(Loop, "_save", lambda self, optimizer: _saved(self, optimizer, self.progress.epoch == 1))
        with pytest.raises(KeyboardInterrupt):
            train(tiny_recipe(epochs=3), folder, tiny_manifest(), progress=False)


def _chosen(loop: Loop, figure: float, select: Callable[..., None] = Loop._select) -> None:
    select(loop, {str(loop.selects): figure})
    if loop.progress.epoch == 3 and figure > 50:
        _killed()


def _saved(loop: Loop, optimizer: Optimizer | None, wanted: bool, save: Callable[..., None] = Loop._save) -> None:
    if wanted:
        save(loop, optimizer)


def test_a_best_epoch_that_is_none_any_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Resumed on another device or with other threads, whose rounding makes another epoch the best."""
    _killed_after_the_third_epoch(tmp_path, monkeypatch)
    figures = iter((40.0, 49.0))
    monkeypatch.setattr(Loop, "_select", lambda self, measured: _chosen(self, next(figures)))
    run = train(tiny_recipe(epochs=3), tmp_path, tiny_manifest(), resume=True, progress=False)
    assert run.summary["best_epoch"] == 1
    assert best_state(tmp_path).name == "best-00-00001.safetensors"


@pytest.mark.parametrize("harm", ["changed", "gone"])
def test_a_damaged_best_state_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: str) -> None:
    _killed_after_the_third_epoch(tmp_path, monkeypatch)
    best = tmp_path / "checkpoints/best-00-00001.safetensors"
    content = best.read_bytes()
    best.unlink() if harm == "gone" else best.write_bytes(content[:-8] + b"12345678")
    monkeypatch.setattr(Loop, "_select", lambda self, measured: _chosen(self, 40.0))
    with pytest.raises(RunError, match="checksums differ"):
        train(tiny_recipe(epochs=3), tmp_path, tiny_manifest(), resume=True, progress=False)


def test_resuming_between_the_last_step_and_the_end_of_an_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpoint after an epoch's last step: nothing is left to train, and the log is the same all the same."""
    recipe = tiny_recipe(epochs=2)
    train(recipe, tmp_path / "whole", tiny_manifest(), progress=False)
    monkeypatch.setattr("linnet.training.loop.CHECKPOINT_SECONDS", 0.0)
    with monkeypatch.context() as broken:
        broken.setattr("linnet.training.loop.Loop._end_epoch", _killed)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, tmp_path / "broken", tiny_manifest(), progress=False)
    train(recipe, tmp_path / "broken", tiny_manifest(), resume=True, progress=False)
    assert _lines(tmp_path / "broken") == _lines(tmp_path / "whole")


@pytest.mark.parametrize("options", [{"sample": 3}, {"scope": "all"}])
def test_resuming_within_an_epoch(options: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the head has yet to catch up on, and which instances it looks at, are the same after a resumption."""
    recipe = tiny_recipe(method="coins", options=options)
    train(recipe, tmp_path / "whole", tiny_manifest(), progress=False)
    monkeypatch.setattr("linnet.training.loop.CHECKPOINT_SECONDS", 0.0)
    taken: list[object] = []

    def step(self: Loop, *given: Any, plain: Callable[..., None] = Loop._step) -> None:
        if len(taken) == 4:  # of 5 in an epoch
            _killed()
        taken.append(given)
        plain(self, *given)

    with monkeypatch.context() as breaking, pytest.raises(KeyboardInterrupt):
        breaking.setattr(Loop, "_step", step)
        train(recipe, tmp_path / "broken", tiny_manifest(), progress=False)
    train(recipe, tmp_path / "broken", tiny_manifest(), resume=True, progress=False)
    both = [Checkpoints(tmp_path / name / "checkpoints").load_latest() for name in ("whole", "broken")]
    assert both[0] and both[1]
    assert both[0][0].keys() == both[1][0].keys()
    assert all(torch.equal(value, both[1][0][name]) for name, value in both[0][0].items())


def _killed(*_: object) -> None:
    raise KeyboardInterrupt
