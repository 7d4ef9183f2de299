"""`Index`: unit vectors of images on disk, what is known of each, and the nearest of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from linnet import files
from linnet.errors import RunError, TaxonomyError, nearest
from linnet.manifest import Manifest
from linnet.metrics.unit_vectors import Array, Units, unit_rows
from linnet.search.approximate import Approximate, open_approximate
from linnet.search.card import Card, read_card, verify
from linnet.search.collection import read_again
from linnet.search.exact import exact_search
from linnet.search.rows import RowTable, read_rows
from linnet.taxonomy import Level, Taxonomy

__all__ = ["Hits", "Index"]

Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Hits:
    """What was found for n queries, most similar first.

    Attributes:
        rows: rows of the index, int64 (n, k); -1 where there are fewer.
        scores: cosines, float32 (n, k); -inf where there are fewer.
    """

    rows: Integers
    scores: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Index:
    """An index, opened: `Index.open(folder)`.

    Attributes:
        folder: where it lies.
        card: the content of index.json.
        table: what is known of each row.
        taxonomy: the classes.
        vectors: float32 (N, D), a memory map of unit vectors; read only.
    """

    folder: Path
    card: Card
    table: RowTable
    taxonomy: Taxonomy
    vectors: NDArray[np.float32]
    _manifests: dict[int, Manifest] = field(default_factory=dict, repr=False)

    @classmethod
    def open(cls, folder: Path | str, *, check: bool = True) -> Index:
        """Open an index.

        Args:
            check: compare every file with its checksum, which reads it all: about a second a gigabyte.

        Raises:
            RunError: no index there, unfinished, damaged, or of another format.
        """
        folder = Path(folder)
        card = read_card(folder)
        if check:
            verify(folder, card)
        taxonomy = Taxonomy.from_json(card.taxonomy, str(folder))
        table = read_rows(files.inside(folder, card.table), len(taxonomy.levels), card.rows)
        shape = (card.rows, card.dim)
        vectors: NDArray[np.float32] = np.empty(shape, np.float32)
        if card.rows:
            try:
                vectors = np.memmap(files.inside(folder, card.vectors), "<f4", mode="r", shape=shape)
            except (OSError, ValueError) as error:
                raise RunError(f"{folder / card.vectors}: cannot be mapped ({error}); copy the folder again") from None
        return cls(folder, card, table, taxonomy, vectors)

    def __len__(self) -> int:
        """N."""
        return self.card.rows

    # What is known of the rows

    @property
    def bundle_sha256(self) -> str | None:
        """SHA-256 of the weights of the bundle that made the vectors; None where it was no bundle."""
        found = self.card.embedder
        return str(found["identity"]["sha256"]) if found["identity"].get("kind") == "bundle" else None

    @property
    def root(self) -> Path:
        """What `names` are relative to."""
        return Path(self.card.sources[0]["root"]) if self.card.sources else Path()

    @cached_property
    def names(self) -> list[str]:
        """Path of each image, or its name where images come as arrays; those of later sources are absolute."""
        first = self.root
        roots = [Path(source["root"]) for source in self.card.sources]
        own = [root == first for root in roots]
        pairs = zip(self.table.images, self.table.sources.tolist(), strict=True)
        return [image if own[source] else str(roots[source] / image) for image, source in pairs]

    @property
    def splits(self) -> list[str]:
        """The split of each row, "" without one."""
        return self.table.splits

    @property
    def targets(self) -> Integers:
        """Class numbers, int64 (N, L), -1 unknown."""
        return self.table.targets

    def labels(self, row: int) -> dict[str, str]:
        """The known classes of a row, by level name."""
        found = zip(self.taxonomy.levels, self.taxonomy.classes, self.targets[row].tolist(), strict=True)
        return {level: names[number] for level, names, number in found if number >= 0}

    @property
    def coarse_level(self) -> int:
        """Number of the level that `within` means: the bundle's coarse one, where the images have it, else 0."""
        name = self.card.embedder.get("coarse_level")
        return self.taxonomy.levels.index(name) if name in self.taxonomy.levels else 0

    def level_of(self, name: str) -> int:
        """The number of the level that has a class of this name: the coarse one, else the coarsest.

        Raises:
            TaxonomyError: none has; names the nearest.
        """
        if name in self._by_coarse:
            return self.coarse_level
        levels = [number for number, names in enumerate(self.taxonomy.classes) if name in names]
        if not levels:
            known = [each for names in self.taxonomy.classes for each in names]
            raise TaxonomyError(f"no class {name!r}{nearest(name, known)}; the index knows {len(known)} classes")
        return self.coarse_level if self.coarse_level in levels else levels[0]

    @cached_property
    def coarse_names(self) -> list[str]:
        """The coarse class of each row: its label, else what the bundle says, else ""."""
        names = (*self.taxonomy.classes[self.coarse_level], "")
        said = (*self.card.embedder.get("coarse_classes", ()), "")
        pairs = zip(self.targets[:, self.coarse_level].tolist(), self.table.predicted.tolist(), strict=True)
        return [names[label] if label >= 0 else said[guess] for label, guess in pairs]

    def file(self, row: int) -> str | None:
        """The path of a row's file; None where images come as arrays, or there are none."""
        source = self.card.sources[int(self.table.sources[row])]
        return None if source["arrays"] else str(Path(source["root"]) / self.table.images[row])

    def image(self, row: int) -> Path | NDArray[np.uint8]:
        """The file of a row; pixels uint8 (H, W, 3) of images that come as arrays, read where they came from.

        Raises:
            RunError: the images came as arrays, and the data is gone or has changed; or there never was an image.
        """
        number = int(self.table.sources[row])
        source = self.card.sources[number]
        if source.get("vectors") and source["arrays"]:
            raise RunError(f"{self.folder}: made of vectors, not of images; row {row} is {self.table.images[row]!r}")
        if not source["arrays"]:
            return Path(str(self.file(row)))
        if number not in self._manifests:
            self._manifests[number] = read_again(source)
        pixels = self._manifests[number].pixels
        assert pixels is not None
        found: NDArray[np.uint8] = pixels[int(self.table.rows[row])]
        return found

    # Search

    def search(
        self,
        vectors: Array,
        k: int,
        *,
        within: str | int | Sequence[str] | Integers | None = None,
        level: Level | None = None,
        exclude: Integers | Sequence[int] | None = None,
        approximate: bool = False,
    ) -> Hits:
        """The k rows most similar to each of n vectors by cosine; of equals the lower row comes first.

        Args:
            vectors: (n, D) floating numbers of any length.
            k: how many, at least 1.
            within: a class of `level` by name or number, or one for each query: only its rows are looked at.
            level: the coarse level when None. Where it is that one, rows without a label count by what the bundle
                says.
            exclude: a row for each query that does not count, -1 for none, int64 (n,).
            approximate: by the faiss index that was built (`linnet index --approximate`), not exactly.

        Raises:
            RunError: vectors of another length than D, or `approximate` where nothing was built or with `within`.
            TaxonomyError: no such class or level.
            ValueError: k is below 1, or a shape does not fit.
        """
        if k < 1:
            raise ValueError(f"k is {k}; need at least 1")
        query = unit_rows(vectors, "query")
        count = len(query)
        if query.exact.shape[1] != self.card.dim:
            raise RunError(
                f"{self.folder} holds vectors of {self.card.dim} numbers, and the queries have {query.exact.shape[1]}"
            )
        left_out = np.full(count, -1, np.int64) if exclude is None else np.asarray(exclude, dtype=np.int64)
        if left_out.shape != (count,):
            raise ValueError(f"exclude {left_out.shape}: give a row for each of {count} queries")
        wanted = k + int(bool((left_out >= 0).any()))
        if within is None:
            similarity, rows = self._nearest(query, wanted, None, approximate)
        else:
            similarity, rows = self._within(query, wanted, self._classes(within, level, count), level, approximate)
        return _without(similarity, rows, left_out, k)

    def _nearest(
        self, query: Units, k: int, rows: Integers | None, approximate: bool
    ) -> tuple[NDArray[np.float64], Integers]:
        if approximate:
            return self._approximate.search(self.vectors, query, k)
        lost = {getattr(torch, name): value for name, value in self.card.lost.items()}
        return exact_search(self.vectors, query, k, rows=rows, lost=lost)

    @cached_property
    def _approximate(self) -> Approximate:
        said = self.card.approximate
        if said is None:
            raise RunError(
                f"{self.folder} has no approximate index; build one with: linnet index {self.folder} --approximate ivf"
            )
        return open_approximate(self.folder, said)

    def _within(
        self, query: Units, k: int, names: list[str], level: Level | None, approximate: bool
    ) -> tuple[NDArray[np.float64], Integers]:
        """Each query among the rows of its own class."""
        if approximate:
            raise RunError("an approximate index looks at all rows; search within a class exactly")
        similarity = np.full((len(names), k), -np.inf)
        found = np.full((len(names), k), -1, np.int64)
        for name in sorted(set(names)):
            mine = np.flatnonzero([each == name for each in names])
            part = query.take(torch.from_numpy(mine))
            similarity[mine], found[mine] = self._nearest(part, k, self.members(name, level), False)
        return similarity, found

    def members(self, name: str, level: Level | None = None) -> Integers:
        """The rows of a class, ascending, int64; of the coarse level when None, where unlabelled rows count by what
        the bundle says."""
        number = self.coarse_level if level is None else self.taxonomy.level(level)
        if number == self.coarse_level:
            return self._by_coarse.get(name, np.empty(0, np.int64))
        index = self.taxonomy.index(number, name)
        return np.flatnonzero(self.targets[:, number] == index).astype(np.int64)

    @cached_property
    def _by_coarse(self) -> dict[str, Integers]:
        rows: dict[str, list[int]] = {}
        for row, name in enumerate(self.coarse_names):
            rows.setdefault(name, []).append(row)
        return {name: np.asarray(those, np.int64) for name, those in sorted(rows.items()) if name}

    def _classes(self, within: Any, level: Level | None, count: int) -> list[str]:
        """The class of each query, by name."""
        number = self.coarse_level if level is None else self.taxonomy.level(level)
        given = [within] * count if isinstance(within, str | int) else list(within)
        if len(given) != count:
            raise ValueError(f"within: {len(given)} classes for {count} queries")
        names = self.taxonomy.classes[number]
        found = [each if isinstance(each, str) else names[int(each)] for each in given]
        said = self._by_coarse if number == self.coarse_level else {}
        for name in sorted(set(found)):
            if name not in said:
                self.taxonomy.index(number, name)  # names the nearest
        return found

    # Where it came from

    @property
    def made_by(self) -> dict[str, Any]:
        """What made the vectors: `identity`, and the run's folder where it was a run."""
        return self.card.embedder


def _without(similarity: NDArray[np.float64], rows: Integers, left_out: Integers, k: int) -> Hits:
    """The first k that are not a query's excluded row."""
    keep = (rows != left_out[:, None]) | (rows < 0)
    order = np.argsort(~keep, axis=1, kind="stable")
    width = min(k, rows.shape[1])
    order = order[:, :width]
    kept = np.take_along_axis(keep, order, 1)
    found = np.where(kept, np.take_along_axis(rows, order, 1), -1)
    scores = np.where(kept, np.take_along_axis(similarity, order, 1), -np.inf)
    return Hits(found, scores.astype(np.float32))
