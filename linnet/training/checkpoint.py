"""Checkpoints: one safetensors file each, checksummed, the last two and the best kept."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from linnet import files
from linnet.errors import RunError

__all__ = ["Checkpoints", "Progress"]


@dataclass
class Progress:
    """Where training is: everything a checkpoint holds besides tensors.

    Attributes:
        stage, epoch, step: what comes next: stage number, epoch within it, step within that.
        epochs_done: whole epochs over all stages; keys the augmentation.
        history: selection metric of each evaluation of this stage.
        best: the best selection metric of this stage; `best_epoch` its epoch, `best_sha256` its file's checksum.
        log_bytes: length of metrics.jsonl; lines beyond it were written after the checkpoint.
        images, seconds: images trained on in this epoch so far, and time spent so far in all.
        finished: nothing is left to do.
    """

    stage: int = 0
    epoch: int = 0
    step: int = 0
    epochs_done: int = 0
    history: list[float] = field(default_factory=list)
    best: float | None = None
    best_epoch: int = -1
    best_sha256: str = ""
    log_bytes: int = 0
    images: int = 0
    seconds: float = 0.0
    finished: bool = False

    @property
    def best_file(self) -> str:
        """Name of the best epoch's file, of its own: the last checkpoint may still speak of an earlier one."""
        return f"best-{self.stage - self.finished:02d}-{self.best_epoch:05d}.safetensors"


class Checkpoints:
    """The `checkpoints` folder of a run.

    A checkpoint is written aside, synced, renamed, and only then named with its SHA-256 in `index.json`, itself
    replaced whole. So the index always names complete files.
    """

    def __init__(self, folder: Path, keep: int = 2) -> None:
        self.folder = files.make_folder(folder)
        self.keep = keep

    def save(self, tensors: dict[str, Tensor], progress: Progress) -> None:
        """Write a checkpoint, and drop those beyond the last `keep` and the best states that none of these names."""
        name = f"{progress.stage:02d}-{progress.epoch:05d}-{progress.step:07d}.safetensors"
        entry = {"file": name, "sha256": self._write(name, tensors), "progress": asdict(progress)}
        entries = [*(old for old in self._index() if old["file"] != name), entry]
        files.write_json(self.folder / "index.json", entries[-self.keep :])
        for old in entries[: -self.keep]:
            files.remove(self.folder / old["file"])
        named = {Progress(**kept["progress"]).best_file for kept in entries[-self.keep :]}
        for path in self.folder.glob("best-*.safetensors"):
            if path.name not in named:
                files.remove(path)

    def save_best(self, tensors: dict[str, Tensor], progress: Progress) -> str:
        """Write the best state of a stage, and return its SHA-256."""
        return self._write(progress.best_file, tensors)

    def load_best(self, progress: Progress) -> dict[str, Tensor]:
        """Read the best state of a stage; an empty checksum (a process that did not write it) is not compared.

        Raises:
            RunError: it is not what was written.
        """
        path, sha256 = self.folder / progress.best_file, progress.best_sha256
        if sha256 and (not path.exists() or files.digest(path) != sha256):
            raise RunError(f"{path}: missing or damaged (checksums differ); start again with another --out")
        return _read(path)

    def load_latest(self) -> tuple[dict[str, Tensor], Progress] | None:
        """The newest sound checkpoint, or None when none was ever written.

        Raises:
            RunError: checkpoints are named, and none of them is sound.
        """
        entries = self._index()
        for entry in reversed(entries):
            path = files.inside(self.folder, entry["file"])
            if path.exists() and files.digest(path) == entry["sha256"]:
                return _read(path), Progress(**entry["progress"])
        if entries:
            raise RunError(
                f"{self.folder}: every checkpoint is damaged or missing (checksums differ); "
                "start again with another --out"
            )
        return None

    @property
    def finished(self) -> bool:
        """Whether the newest checkpoint is that of a finished run."""
        return any(entry["progress"]["finished"] for entry in self._index()[-1:])

    def _index(self) -> list[dict[str, Any]]:
        path = self.folder / "index.json"
        return list(files.read_json(path)) if path.exists() else []

    def _write(self, name: str, tensors: dict[str, Tensor]) -> str:
        target = self.folder / name
        with files.atomic_path(target) as aside:
            save_file({key: value.detach().cpu().contiguous() for key, value in tensors.items()}, aside)
        return files.digest(target)


def _read(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as opened:
            return {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, json.JSONDecodeError) as error:
        raise RunError(f"{path}: cannot be read as safetensors ({error})") from None
