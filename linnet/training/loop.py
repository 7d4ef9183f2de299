"""The training loop: stages, epochs, steps; killed anywhere and resumed, it gives the same bits."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torch.optim import Optimizer

from linnet.errors import RecipeError
from linnet.images import Batch
from linnet.methods.base import Method, Stage, UpdateRule
from linnet.randomness import reseed
from linnet.recipes import Recipe
from linnet.training.checkpoint import Checkpoints, Progress
from linnet.training.device import Place, average_gradients, share_buffers, whole_state
from linnet.training.finite import StepNote, Watch
from linnet.training.log import Bar, MetricsLog
from linnet.training.optimizer import (
    build_optimizer,
    load_optimizer_state,
    optimizer_state,
    set_learning_rate,
)
from linnet.training.order import epoch_order, share
from linnet.training.schedule import learning_rate
from linnet.training.source import Source

__all__ = ["CHECKPOINT_SECONDS", "EPOCH_SECONDS", "Loop"]

CHECKPOINT_SECONDS = 600.0
"""Within an epoch a checkpoint is written this often."""

EPOCH_SECONDS = 30.0
"""At the end of an epoch, when the last is this old: on a GPU an epoch can take less time than writing one."""


@dataclass
class Loop:
    """One training run of a method on a source of images.

    Attributes:
        evaluate: figures of the validation rows, by name; called after an epoch with the method in eval mode.
        selects: the figure that chooses the best epoch, None to keep the last.
        where: what a message calls the image at a position of the training set.
        groups: (N,), kinds of images whose ratio every batch keeps (see `training.order`); None for one kind.
    """

    method: Method
    source: Source
    recipe: Recipe
    place: Place
    folder: Path
    evaluate: Callable[[], dict[str, float]]
    selects: str | None
    where: Callable[[int], str]
    bar: bool | None = None
    groups: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        self.checkpoints = Checkpoints(self.folder / "checkpoints")
        self.progress = Progress()
        self.sums: dict[str, Tensor] = {}
        self.stages = self.method.stages()
        self.scaler = torch.amp.GradScaler(self.place.device.type, enabled=self.place.precision == "fp16")
        self.saved_at = self.ticked_at = time.monotonic()
        self.due = False
        # The gradient scaler of fp16 waits for the device in every step by itself.
        at_once = self.place.device.type == "cpu" or self.scaler.is_enabled()
        self.watch = Watch(self.place.device, self.where, at_once=at_once)
        size, whole = len(self.source), self.recipe.batch_size
        self.batch = min(whole, size // self.place.world * self.place.world)
        if not self.recipe.drop_last and size % self.batch == 1 and self.batch > 1:
            raise RecipeError(
                f"{size} training images in batches of {self.batch} leave a last batch of one, which batch norm cannot "
                "take; use drop_last = true, or another batch_size"
            )
        self.steps = size // self.batch if self.recipe.drop_last else -(-size // self.batch)

    def run(self) -> Progress:
        """Train from the newest checkpoint, or from the start, to the end; the method then holds the chosen state."""
        resumed = self.checkpoints.load_latest()
        tensors = self._restore(*resumed) if resumed else {}
        if self.progress.finished:  # the checkpoint holds the chosen state
            return self.progress
        log = MetricsLog(self.folder, self.place.main, self.progress.log_bytes)
        epochs = sum(self._epochs(stage) for stage in self.stages)
        done = (self.progress.epochs_done * self.steps + self.progress.step) * self.batch
        bar = Bar(epochs * self.steps * self.batch, done, self.bar if self.place.main else False)
        try:
            for number in range(self.progress.stage, len(self.stages)):
                optimizer = build_optimizer(self.stages[number], self.recipe, scaled=self.scaler.is_enabled())
                if tensors:
                    load_optimizer_state(optimizer, _named(tensors, "optimizer."))
                    tensors = {}
                self._stage(self.stages[number], optimizer, log, bar)
        finally:
            bar.close()
            log.close()
        return self.progress

    def _epochs(self, stage: Stage) -> int:
        return self.recipe.epochs if stage.epochs is None else stage.epochs

    def _stage(self, stage: Stage, optimizer: Optimizer, log: MetricsLog, bar: Bar) -> None:
        progress, epochs = self.progress, self._epochs(stage)
        self.method.enter(progress.stage)
        while progress.epoch < epochs:
            bar.say(f"{stage.name} {progress.epoch + 1}/{epochs}", self._best_so_far())
            self._epoch(epochs, optimizer, bar)
            figures = self._end_epoch(stage, epochs)
            self._tick()
            log.write(progress.epochs_done, {**figures, "seconds": round(progress.seconds, 2)})
            progress.log_bytes = log.length
            # Decided by the first process: a checkpoint gathers what the processes hold.
            if progress.epoch < epochs and self.place.agreed(time.monotonic() - self.saved_at >= EPOCH_SECONDS):
                self._save(optimizer)
        if self.selects is not None and progress.best is not None:
            self.place.wait()
            self.method.load_state_dict(self.checkpoints.load_best(progress))
            self.place.wait()  # the first process deletes it once no checkpoint names it
        last = progress.stage + 1 == len(self.stages)
        self.progress = Progress(
            stage=progress.stage + 1,
            epochs_done=progress.epochs_done,
            best=progress.best if last else None,
            best_epoch=progress.best_epoch if last else -1,
            best_sha256=progress.best_sha256 if last else "",
            log_bytes=progress.log_bytes,
            seconds=progress.seconds,
            finished=last,
        )
        self._save(None)

    def _epoch(self, epochs: int, optimizer: Optimizer, bar: Bar) -> None:
        progress, recipe, world = self.progress, self.recipe, self.place.world
        order = epoch_order(len(self.source), recipe.seed, progress.epochs_done, self.groups)
        order = order[: self.steps * self.batch] if recipe.drop_last else order
        # Rank r takes the r-th part of each batch, so a step sees the same images whatever the number of processes.
        mine = order if world == 1 else share(order, self.batch, self.place.rank, world)
        batches = self.source.epoch(progress.epochs_done, mine, self.batch // world, start_step=progress.step)
        self.method.train()
        for batch in batches:
            position = progress.epoch + progress.step / self.steps
            rate = learning_rate(recipe, position, epochs, progress.history)
            set_learning_rate(optimizer, rate)
            # Dropout and stochastic depth draw from torch's own state: it too is keyed, by step and process.
            reseed(recipe.seed, "step", progress.epochs_done, progress.step, self.place.rank)
            self._step(batch, optimizer, rate)
            progress.step += 1
            progress.images += len(batch.index) * world
            bar.advance(len(batch.index) * world)
            if self.due:
                self._save(optimizer)

    def _step(self, batch: Batch, optimizer: Optimizer, rate: float) -> None:
        # Decided by the first process, and told with the losses: a checkpoint gathers what the processes hold.
        self.due = self.place.main and time.monotonic() - self.saved_at > CHECKPOINT_SECONDS
        progress, looks = self.progress, self.watch.looks_at(self.progress.step)
        pieces = iter(self.method.losses(batch))
        while True:
            with self.place.autocast():
                terms = next(pieces, None)
            if terms is None:
                return
            optimizer.zero_grad(set_to_none=True)
            weighted = torch.stack([term.value * term.weight for term in terms.values()])
            self.scaler.scale(weighted.sum()).backward()
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            values = torch.stack([term.value.detach() for term in terms.values()])
            if self.place.world > 1:
                told = average_gradients(parameters, F.pad(values, (0, 1), value=self.due), self.place.world)
                values, self.due = told[:-1], looks and bool(told[-1] > 0)
            self.scaler.unscale_(optimizer)
            note = StepNote(progress.stage, progress.epoch, progress.step, list(terms), batch.index)
            # Gradients of fp16 that are not finite the scaler skips itself.
            self.watch.see(values, [] if self.scaler.is_enabled() else parameters, note)
            optimizer.found_inf = self.watch.skip  # type: ignore[attr-defined]
            scale = self.scaler.get_scale()
            self.scaler.step(optimizer)
            self.scaler.update()
            if self.scaler.get_scale() >= scale:  # a step that the scaler skips makes it shrink
                self._step_owned(rate, scale)
            if looks:
                self.watch.look()
            for name, value in zip(terms, values.double() * (len(batch.index) * self.place.world), strict=True):
                self.sums[name] = self.sums[name] + value if name in self.sums else value

    def _step_owned(self, rate: float, scale: float) -> None:
        recipe = self.recipe
        for owned in self.stages[self.progress.stage].owned:
            lr, skip = rate * owned.lr_scale, self.watch.skip
            owned.module.step(UpdateRule(lr, recipe.momentum, recipe.weight_decay, recipe.nesterov, skip), scale)

    def _end_epoch(self, stage: Stage, epochs: int) -> dict[str, object]:
        progress = self.progress
        self.watch.look()
        # The last step's rate from the schedule, not the optimizer: a run resumed right here has not set it yet.
        last = progress.epoch + (self.steps - 1) / self.steps
        rate = learning_rate(self.recipe, last, epochs, progress.history)
        figures: dict[str, object] = {"stage": stage.name, "lr": rate}
        figures |= {f"loss/{name}": float(s) / progress.images for name, s in self.sums.items()}
        self.method.end_epoch(progress.epoch)
        progress.epoch, progress.step = progress.epoch + 1, 0
        progress.epochs_done += 1
        progress.images, self.sums = 0, {}
        if progress.epoch % self.recipe.evaluate_every == 0 or progress.epoch == epochs:
            share_buffers(self.method, self.place.world)
            measured = self.evaluate()
            figures |= {f"validation/{name}": value for name, value in measured.items()}
            self._select(measured)
        return figures

    def _select(self, measured: dict[str, float]) -> None:
        progress = self.progress
        if self.selects is None:
            return
        if self.selects not in measured:
            raise RecipeError(
                f"select_by = {self.selects!r}: this method gives no such figure; it gives {', '.join(measured)}"
            )
        value = measured[self.selects]
        progress.history.append(value)
        if progress.best is None or value > progress.best:
            progress.best, progress.best_epoch = value, progress.epoch
            state = whole_state(self.method)
            # The others do not compare: what a checkpoint told them was the sum of an earlier best.
            main = self.place.main
            progress.best_sha256 = self.checkpoints.save_best(state, progress) if main else ""

    def _best_so_far(self) -> str:
        best = self.progress.best
        return "" if best is None else f"best {self.selects} {best:.1f} (epoch {self.progress.best_epoch})"

    def _tick(self) -> None:
        now = time.monotonic()
        self.progress.seconds, self.ticked_at = self.progress.seconds + now - self.ticked_at, now

    def _save(self, optimizer: Optimizer | None) -> None:
        self.watch.look()
        self._tick()
        self.saved_at = self.ticked_at
        tensors = {f"model.{name}": value for name, value in whole_state(self.method).items()}
        if not self.place.main:
            return
        tensors |= {f"sum.{name}": value for name, value in self.sums.items()}
        if optimizer is not None:
            tensors |= {f"optimizer.{name}": value for name, value in optimizer_state(optimizer).items()}
        if self.scaler.is_enabled():
            scale = self.scaler.state_dict()
            tensors["scaler"] = torch.tensor([scale["scale"], scale["_growth_tracker"]], dtype=torch.float64)
        self.checkpoints.save(tensors, self.progress)

    def _restore(self, tensors: dict[str, Tensor], progress: Progress) -> dict[str, Tensor]:
        self.progress, state = progress, _named(tensors, "model.")
        if progress.finished and progress.stage < len(self.stages):
            # Stages were added since, such as an ensemble's next member; what they train is as it was built.
            kept = {name: getattr(progress, name) for name in ("stage", "epochs_done", "log_bytes", "seconds")}
            self.progress, state = Progress(**kept), {**self.method.state_dict(), **state}
        self.method.load_state_dict(state)
        self.sums = {name: value.to(self.place.device) for name, value in _named(tensors, "sum.").items()}
        if self.scaler.is_enabled() and "scaler" in tensors:
            scale, tracker = tensors["scaler"].tolist()
            state = self.scaler.state_dict()
            self.scaler.load_state_dict({**state, "scale": scale, "_growth_tracker": int(tracker)})
        return tensors if any(name.startswith("optimizer.") for name in tensors) else {}


def _named(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}
