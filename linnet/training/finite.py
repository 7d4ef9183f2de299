"""Losses and gradients that are not finite: found before the update, at once on a CPU, a little later on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from linnet.errors import NonFiniteError

__all__ = ["LOOK_EVERY", "StepNote", "Watch"]

LOOK_EVERY = 50
"""Steps between two looks, where the device runs ahead of the host; before a checkpoint there is always one."""


@dataclass(frozen=True)
class StepNote:
    """What a message says of a step.

    Attributes:
        stage, epoch, step: numbers from 0.
        terms: the losses' names.
        index: int64 (B,) on the CPU, positions of the batch's images in the training set.
    """

    stage: int
    epoch: int
    step: int
    terms: Sequence[str]
    index: Tensor

    def error(self, values: Tensor, where: Callable[[int], str]) -> NonFiniteError:
        """The error of this step, whose losses were `values` (T,); `where` says what a message calls an image."""
        losses = ", ".join(f"{name} = {value:g}" for name, value in zip(self.terms, values.tolist(), strict=True))
        names = [where(index) for index in self.index[:8].tolist()]
        more = f", and {len(self.index) - 8} more" if len(self.index) > 8 else ""
        return NonFiniteError(
            f"stage {self.stage + 1}, epoch {self.epoch + 1}, step {self.step + 1}: "
            f"the loss or a gradient is not finite ({losses}). Stopped before the step; the last checkpoint is sound. "
            f"Try a smaller lr or some warmup. The batch: {', '.join(names)}{more}"
        )


class Watch:
    """Looks at every step's losses and gradients.

    With `at_once` an unsound step raises before anything is updated, and the host waits for the device in every step.
    Without, the step sets `skip`, a number on the device, for good: with it the optimizer and the modules that own
    their update leave the weights as they are, in this step and all that follow, until the host looks. What a skipped
    step did to counters on the host (pending maps, sums of losses) stays, so nothing may be saved between the two.
    """

    def __init__(self, device: torch.device, where: Callable[[int], str], *, at_once: bool) -> None:
        self.at_once, self.where = at_once, where
        self.skip = None if at_once else torch.zeros((), device=device)
        self._seen: list[tuple[Tensor, Tensor, StepNote]] = []

    def looks_at(self, step: int) -> bool:
        """Whether the host waits for the device in this step of an epoch."""
        return self.at_once or step % LOOK_EVERY == LOOK_EVERY - 1

    def see(self, values: Tensor, parameters: Sequence[nn.Parameter], note: StepNote) -> None:
        """Take losses (T,) and the gradients of parameters before they are used.

        Raises:
            NonFiniteError: with `at_once`, when a loss or gradient is not finite.
        """
        gradients = [p.grad for p in parameters if p.grad is not None]
        norms = torch._foreach_norm(gradients) if gradients else ()
        sound = torch.isfinite(torch.stack([values.sum(), *norms]).sum())
        if self.skip is None:
            if not bool(sound):
                raise note.error(values, self.where)
            return
        self.skip = torch.maximum(self.skip, 1 - sound.float())
        self._seen.append((self.skip, values, note))

    def look(self) -> None:
        """Wait for the steps seen since the last look.

        Raises:
            NonFiniteError: one of them was not finite; tells of the first.
        """
        seen, self._seen = self._seen, []
        unsound = torch.stack([skip for skip, _, _ in seen]).tolist() if seen else []
        if any(unsound):
            _, values, note = seen[unsound.index(1.0)]
            raise note.error(values, self.where)
