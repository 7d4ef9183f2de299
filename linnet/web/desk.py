"""The discovery desk: one working copy of a discovery, changed step by step.

Every change names the version that it was made on, so that of two tabs the second to change is told so and cannot
overwrite the first. Steps can be taken back. Each lies on disk as a draft before it is answered, so that a server that
ends takes nothing with it: the next one goes on where this one was. The discovery itself is written by `save` alone.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import RLock

from linnet import files
from linnet.discover import Discovery, open_discovery, save_discovery
from linnet.discover.draft import Draft, draft_path, read_draft, write_draft
from linnet.discover.store import card_path
from linnet.web.problems import Problem, conflict

__all__ = ["Desk", "State"]

Steps = list[tuple[str, Discovery]]


@dataclass(frozen=True, eq=False)
class State:
    """What the desk holds at one time.

    Attributes:
        version: names this state; a later one has another, also after the server was started anew.
        unsaved: whether it differs from what is saved; `undoable` what the last step did, "" where none is left.
        note: what became of changes that an earlier server had not saved, "" where there were none or all is saved.
    """

    discovery: Discovery
    version: str
    unsaved: bool
    undoable: str
    note: str


class Desk:
    """See the module's text. Safe across threads.

    Args:
        folder: the discovery's.
        undo: how many steps can be taken back.

    Raises:
        RunError: the folder holds no discovery, or a draft that cannot be read.
    """

    def __init__(self, folder: Path | str, undo: int = 100) -> None:
        self.folder = Path(folder)
        self._lock, self._most = RLock(), undo
        self._digest = _digest(card_path(self.folder))
        self._now = self._saved = open_discovery(self.folder)
        self._steps: Steps = []
        self._start, self._count = uuid.uuid4().hex[:8], 0
        self._version, self._note = f"{self._start}-0", ""
        draft, aside = read_draft(self.folder, self._digest, self._saved)
        if draft is not None:
            self._now, self._steps, self._version = draft.now, list(draft.steps)[-undo:], draft.version
            self._note = f"Unsaved changes of {_day(draft.changed)} were taken up again."
        if aside is not None:
            self._note = (
                f"There are unsaved changes of another state of this discovery, which was changed since by another "
                f"program; they do not fit any more and lie in {aside}."
            )
        self._kept = _digest(draft_path(self.folder))

    @property
    def state(self) -> State:
        """The present state."""
        with self._lock:
            told = self._steps[-1][0] if self._steps else ""
            return State(self._now, self._version, self._now is not self._saved, told, self._note)

    def change(self, version: str, told: str, action: Callable[[Discovery], Discovery]) -> State:
        """Make a step.

        Args:
            version: the state that it was made on.
            told: what it does, for the list of steps.
            action: the discovery to a new one.

        Raises:
            Problem: 409, the state is not that one any more, or another program works on the folder; 507, the step
                cannot be kept on disk, and was not made.
            LinnetError: the action is not possible.
        """
        with self._lock:
            self._check(version)
            found = action(self._now)
            if found is not self._now:
                self._become(found, [*self._steps, (told, self._now)][-self._most :])
            return self.state

    def undo(self, version: str) -> State:
        """Take the last step back.

        Raises:
            Problem: as `change`; 409 also where no step is left.
        """
        with self._lock:
            self._check(version)
            if not self._steps:
                raise conflict("There is no step to take back.")
            self._become(self._steps[-1][1], self._steps[:-1])
            return self.state

    def discard(self, version: str) -> State:
        """Go back to what is saved. That is a step, which can be taken back while the server runs.

        Raises:
            Problem: as `change`.
        """
        return self.change(version, "discard all changes", lambda _: self._saved)

    def save(self, version: str) -> State:
        """Write the state to the folder, whole or not at all.

        Raises:
            Problem: as `change`.
        """
        with self._lock:
            self._check(version)
            try:
                save_discovery(self._now, self.folder)
                self._saved, self._digest = self._now, _digest(card_path(self.folder))
                self._keep(self._now, self._steps, self._version)
            except OSError as error:
                raise _not_written(self.folder, error) from None
            self._note = ""
            return self.state

    def _check(self, version: str) -> None:
        """Whether a change made on a version can be taken on: nobody has changed the desk or its folder meanwhile."""
        if version != self._version:
            raise conflict(
                "The desk was changed meanwhile, in another tab or by another program, so this change was not made. "
                "Load the page again to see the present state."
            )
        if _digest(card_path(self.folder)) != self._digest:
            raise conflict(
                f"{self.folder} was changed by another program since the server opened it. Nothing was written; "
                "start the server again to work on what is there now."
            )
        if _digest(draft_path(self.folder)) not in ("", self._kept):
            raise conflict(
                f"Another server works on {self.folder}, and its changes lie in {draft_path(self.folder).name} there. "
                "Nothing was written; end one of the two, and start the other again to go on from there."
            )

    def _become(self, now: Discovery, steps: Steps) -> None:
        """Take a state on, once it lies on disk."""
        version = f"{self._start}-{self._count + 1}"
        try:
            self._keep(now, steps, version)
        except OSError as error:
            raise _not_written(draft_path(self.folder), error, "; the change was not made") from None
        self._now, self._steps, self._version, self._count = now, steps, version, self._count + 1
        if now is self._saved:
            self._note = ""

    def _keep(self, now: Discovery, steps: Steps, version: str) -> None:
        """Put a state on disk as the draft; what is saved needs none."""
        path = draft_path(self.folder)
        if now is self._saved:
            files.remove(path)
        else:
            write_draft(self.folder, self._digest, self._saved, Draft(version, steps, now, datetime.now().astimezone()))
        self._kept = _digest(path)


def _digest(path: Path) -> str:
    return files.digest(path) if path.exists() else ""


def _day(moment: datetime) -> str:
    """A time as a reader would say it: '28 November 2026, 12:03'."""
    return f"{moment.day} {moment:%B %Y, %H:%M}"


def _not_written(path: Path, error: OSError, more: str = "") -> Problem:
    return Problem(507, "not-written", f"{path} cannot be written: {error.strerror or type(error).__name__}{more}.")
