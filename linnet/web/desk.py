"""The discovery desk: one working copy of a discovery, changed step by step.

Every change names the version that it was made on, so that of two tabs the second to change is told so and cannot
overwrite the first. Steps can be taken back. Nothing reaches the disk before `save`.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import RLock

from linnet import files
from linnet.discover import Discovery, open_discovery, save_discovery
from linnet.web.problems import Problem, conflict

__all__ = ["Desk", "State"]

_CARD = "discovery.json"


@dataclass(frozen=True, eq=False)
class State:
    """What the desk holds at one time.

    Attributes:
        version: names this state; a later one has another, also after the server was started anew.
        unsaved: whether it differs from what is on disk; `undoable` what the last step did, "" where none is left.
    """

    discovery: Discovery
    version: str
    unsaved: bool
    undoable: str


class Desk:
    """See the module's text. Safe across threads.

    Args:
        folder: the discovery's.
        undo: how many steps can be taken back.

    Raises:
        RunError: the folder holds no discovery.
    """

    def __init__(self, folder: Path | str, undo: int = 100) -> None:
        self.folder = Path(folder)
        self._lock, self._most = RLock(), undo
        self._digest = files.digest(self.folder / _CARD) if (self.folder / _CARD).exists() else ""
        self._now = self._saved = open_discovery(self.folder)
        self._steps: list[tuple[str, Discovery]] = []
        self._start, self._count = uuid.uuid4().hex[:8], 0

    @property
    def state(self) -> State:
        """The present state."""
        with self._lock:
            told = self._steps[-1][0] if self._steps else ""
            return State(self._now, f"{self._start}-{self._count}", self._now is not self._saved, told)

    def _check(self, version: str) -> None:
        if version != f"{self._start}-{self._count}":
            raise conflict(
                "The desk was changed meanwhile, in another tab or by another program, so this change was not made. "
                "Load the page again to see the present state."
            )

    def change(self, version: str, told: str, action: Callable[[Discovery], Discovery]) -> State:
        """Make a step.

        Args:
            version: the state that it was made on.
            told: what it does, for the list of steps.
            action: the discovery to a new one.

        Raises:
            Problem: 409, the state is not that one any more.
            LinnetError: the action is not possible.
        """
        with self._lock:
            self._check(version)
            found = action(self._now)
            if found is not self._now:
                self._steps = [*self._steps, (told, self._now)][-self._most :]
                self._now, self._count = found, self._count + 1
            return self.state

    def undo(self, version: str) -> State:
        """Take the last step back.

        Raises:
            Problem: 409, another state, or no step is left.
        """
        with self._lock:
            self._check(version)
            if not self._steps:
                raise conflict("There is no step to take back.")
            self._now = self._steps.pop()[1]
            self._count += 1
            return self.state

    def save(self, version: str) -> State:
        """Write the state to the folder, whole or not at all.

        Raises:
            Problem: 409, another state, or the folder was changed by another program since it was opened; 507, it
                cannot be written.
        """
        with self._lock:
            self._check(version)
            card = self.folder / _CARD
            if not card.exists() or files.digest(card) != self._digest:
                raise conflict(
                    f"{self.folder} was changed by another program since the server opened it. Nothing was written; "
                    "start the server again to work on what is there now."
                )
            try:
                save_discovery(self._now, self.folder)
            except OSError as error:
                reason = error.strerror or type(error).__name__
                raise Problem(507, "not-written", f"{self.folder} cannot be written: {reason}.") from None
            self._saved, self._digest = self._now, files.digest(card)
            return self.state
