"""What a run tells while it trains: JSON lines, TensorBoard, and a progress bar with speed and time left."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from linnet import files

__all__ = ["Bar", "MetricsLog"]


class MetricsLog:
    """`metrics.jsonl` and TensorBoard of a run folder; silent on every process but the main one."""

    def __init__(self, folder: Path, main: bool, length: int) -> None:
        self.path = folder / "metrics.jsonl"
        self.main = main
        self.length = length
        self.board: Any = None
        if main:
            files.truncate(self.path, length)
            from torch.utils.tensorboard import SummaryWriter

            self.board = SummaryWriter(str(folder / "tensorboard"))

    def write(self, epoch: int, figures: Mapping[str, Any]) -> None:
        """One line, and one TensorBoard point for each number; `epoch` counts over all stages."""
        if not self.main:
            return
        self.length = files.append_line(self.path, json.dumps({"epoch": epoch, **figures}))
        for name, value in figures.items():
            if isinstance(value, (int, float)):
                self.board.add_scalar(name, value, epoch)

    def close(self) -> None:
        """Flush TensorBoard."""
        if self.board is not None:
            self.board.close()


class Bar:
    """A progress bar over all images of a run; absent when not on a terminal."""

    def __init__(self, total: int, done: int, shown: bool | None) -> None:
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"),
            transient=False,
        )
        console = self.progress.console
        self.progress.disable = not (console.is_terminal if shown is None else shown)
        self.task: TaskID = self.progress.add_task("images", total=total, completed=done, rate="", figures="")
        self.done = done
        self.progress.start()

    def advance(self, images: int) -> None:
        """Count images trained on."""
        self.done += images
        speed = self.progress.tasks[0].speed
        rate = f"{speed:,.0f} images/s" if speed else ""
        self.progress.update(self.task, completed=self.done, rate=rate)

    def say(self, description: str, figures: str = "") -> None:
        """Show the epoch and the latest figures."""
        self.progress.update(self.task, description=description, figures=figures)

    def close(self) -> None:
        """Leave the bar as it stands."""
        self.progress.stop()
