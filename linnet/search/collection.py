"""Images to index, and how they were read, so that an index finds them again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linnet.datasets import KNOWN, load_data
from linnet.errors import ManifestError, RunError
from linnet.manifest import Manifest
from linnet.manifest_read import normal_split
from linnet.training.run import Run

__all__ = ["Collection", "read_again", "read_collection"]

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Collection:
    """Rows of a manifest.

    Attributes:
        rows: which, int64 (n,).
        splits: the split of each row of the manifest, "" without one (N,).
        told: how to read the manifest again: `data`, `root` and `reading`, or the `run` whose data it is. Empty where
            nobody knows; then files are found by their paths, and pixels are not found.
    """

    manifest: Manifest
    rows: Rows
    splits: Sequence[str]
    told: dict[str, Any]

    @classmethod
    def of(cls, manifest: Manifest, told: Mapping[str, Any] | None = None) -> Collection:
        """All rows of a manifest."""
        names = np.asarray([*manifest.split_names, ""], dtype=object)
        return cls(manifest, manifest.rows(), names[manifest.split_codes].tolist(), dict(told or {}))

    def on(self, splits: Sequence[str]) -> Collection:
        """Only the rows of some splits; of all where none is named.

        Raises:
            ManifestError: there is no such split; lists those there are.
        """
        if not splits:
            return self
        there = sorted(set(self.splits) - {""})
        wanted = {split if split in there else normal_split(split) for split in splits}
        if wanted - set(there):
            raise ManifestError(
                f"{self.manifest.source}: no split {', '.join(sorted(wanted - set(there)))}; splits: "
                f"{', '.join(there) or 'none (add a column split)'}"
            )
        kept = [row for row in self.rows.tolist() if self.splits[row] in wanted]
        return Collection(self.manifest, np.asarray(kept, np.int64), self.splits, self.told)

    @property
    def source(self) -> dict[str, Any]:
        """What the card of an index says of it."""
        manifest = self.manifest
        return {
            **self.told,
            "source": manifest.source,
            "root": str(manifest.root.absolute()),
            "fingerprint": manifest.fingerprint,
            "arrays": manifest.pixels is not None,
        }


def read_collection(
    run: Run | None, data: str | Path | None, root: str | Path | None = None, reading: Mapping[str, Any] | None = None
) -> Collection:
    """The images of `data`, else a run's own with the splits that it was trained by.

    Args:
        data: a known data set, a table or a folder; what the run was trained on is read as it was then.
        root, reading: see `load_data`.

    Raises:
        ManifestError: neither is given.
        RunError: the run's data has changed.
    """
    own = run is not None and (data is None or (str(data) == run.recipe.data and not reading))
    if run is not None and own:
        if root is not None:
            run.recipe = run.recipe.change(root=str(root))
        found = run.load()
        names = np.full(len(found.manifest), "", dtype=object)
        for name, rows in found.rows.items():
            names[rows] = name
        told = {"run": str(run.folder.absolute()), "data_root": _absolute(run.recipe.root)}
        rows = np.flatnonzero(names != "").astype(np.int64)
        return Collection(found.manifest, rows, names.tolist(), told)
    if data is None:
        raise ManifestError("say which images to index: a known data set, a table, or a folder")
    manifest = load_data(data, root, **dict(reading or {}))
    named = str(data) in KNOWN
    told = {"data": str(data) if named else str(Path(data).expanduser().absolute()), "data_root": _absolute(root)}
    return Collection.of(manifest, told | {"reading": dict(reading or {})})


def _absolute(root: str | Path | None) -> str | None:
    return None if root is None else str(Path(root).expanduser().absolute())


def read_again(source: Mapping[str, Any]) -> Manifest:
    """The manifest of a `Collection.source`.

    Raises:
        RunError: it is not known how, the data is not there any more, or it has changed.
    """
    root = source.get("data_root")
    if source.get("run"):
        run = Run.open(source["run"])
        if root is not None:
            run.recipe = run.recipe.change(root=root)
        manifest = run.load().manifest
    elif source.get("data"):
        reading: dict[str, Any] = dict(source.get("reading", {}))
        manifest = load_data(source["data"], root, **reading)
    else:
        raise RunError(f"{source['source']}: its images were given as arrays, and the index cannot read them again")
    if manifest.fingerprint != source["fingerprint"]:
        raise RunError(f"{manifest.source}: changed since it was indexed; put the old data back, or index again")
    return manifest
