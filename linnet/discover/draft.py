"""What was done to a discovery and not saved: `draft.json` in its folder, whole after every step.

It holds differences, each from the state before it and the first one from what is saved, so that steps can be taken
back after a restart, too. It names the checksum of the `discovery.json` that it was made on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from linnet import files
from linnet.discover.model import Cluster, Discovery
from linnet.errors import RunError

__all__ = ["FORMAT", "Draft", "draft_path", "read_draft", "write_draft"]

FORMAT = 1
"""The version of the file that this Linnet reads and writes."""

Steps = Sequence[tuple[str, Discovery]]


@dataclass(frozen=True, eq=False)
class Draft:
    """Unsaved work.

    Attributes:
        version: names the state.
        steps: what each step did, in words, and the state before it; the oldest first.
        now: the state after the last.
        changed: when that was.
    """

    version: str
    steps: Steps
    now: Discovery
    changed: datetime


def draft_path(folder: Path | str) -> Path:
    """Where the draft of a discovery's folder lies, if there is one."""
    return Path(folder) / "draft.json"


def write_draft(folder: Path | str, of: str, saved: Discovery, draft: Draft) -> None:
    """Write a draft, atomically.

    Args:
        of: SHA-256 of the `discovery.json` that holds `saved`.

    Raises:
        OSError: it cannot be written.
    """
    states = [*(before for _, before in draft.steps), draft.now]
    told = ["", *(each for each, _ in draft.steps)]
    steps = [
        {"told": what, **_difference(before, after)}
        for what, before, after in zip(told, [saved, *states[:-1]], states, strict=True)
    ]
    content = {
        "format": FORMAT,
        "of": of,
        "now": _signature(draft.now),
        "changed": draft.changed.isoformat(timespec="seconds"),
        "version": draft.version,
        "steps": steps,
    }
    files.write_text(draft_path(folder), json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n")


def read_draft(folder: Path | str, of: str, saved: Discovery) -> tuple[Draft | None, Path | None]:
    """The draft of a discovery's folder; one that was made on another state of the folder is put aside.

    Args:
        of, saved: as `write_draft`.

    Returns:
        The draft, None where there is none; and where one lies now that does not fit, None where none had to go.

    Raises:
        RunError: it cannot be read; says what to do.
    """
    path = draft_path(folder)
    if not path.exists():
        return None, None
    given = files.read_json(path)
    advice = "move it away to go on without what it holds"
    if not isinstance(given, dict) or given.get("format") != FORMAT:
        raise RunError(f"{path}: no draft of format {FORMAT}, which this Linnet reads; {advice}")
    if given.get("of") != of:
        if given.get("now") == _signature(saved):  # saved, and ended before the draft could go
            files.remove(path)
            return None, None
        return None, files.set_aside(path)
    try:
        state, steps = saved, []
        for each in given["steps"]:
            if each["told"]:
                steps.append((str(each["told"]), state))
            state = _applied(state, each)
        changed, version = datetime.fromisoformat(given["changed"]), str(given["version"])
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise RunError(f"{path}: damaged or changed by hand ({type(error).__name__}: {error}); {advice}") from None
    return Draft(version, steps, state, changed), None


def _signature(state: Discovery) -> str:
    """SHA-256 of the clusters and of who is in them."""
    clusters = [[asdict(each) for each in there] for there in state.clusters]
    labels = np.ascontiguousarray(state.cluster, "<i8").tobytes()
    return hashlib.sha256(json.dumps(clusters).encode() + labels).hexdigest()


def _difference(before: Discovery, after: Discovery) -> dict[str, Any]:
    """Images in another cluster than before, by place, and the clusters of coarse classes that have others."""
    places = np.flatnonzero(before.cluster != after.cluster)
    clusters = {
        after.coarse_names[c]: [asdict(each) for each in there]
        for c, there in enumerate(after.clusters)
        if there != before.clusters[c]
    }
    return {"places": places.tolist(), "to": after.cluster[places].tolist(), "clusters": clusters}


def _applied(before: Discovery, difference: dict[str, Any]) -> Discovery:
    """The state after a step; the very state before it, where the step changed nothing.

    Raises:
        KeyError, TypeError, ValueError, IndexError: it does not fit.
    """
    places, clusters = difference["places"], difference["clusters"]
    if not places and not clusters:
        return before
    labels = before.cluster.copy()
    labels[np.asarray(places, np.int64)] = np.asarray(difference["to"], np.int64)
    changed = {before.coarse_names.index(name): there for name, there in clusters.items()}
    everyone = tuple(
        tuple(Cluster(**each) for each in changed[c]) if c in changed else there
        for c, there in enumerate(before.clusters)
    )
    return replace(before, cluster=labels, clusters=everyone)
