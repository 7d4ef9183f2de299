"""Discovery: the proposed fine classes of every coarse class, and who is in them."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from linnet.discover.geometry import Belonging, Labels, Vectors, belonging
from linnet.errors import RunError, TaxonomyError, nearest

__all__ = ["Cluster", "Discovery"]


@dataclass(frozen=True)
class Cluster:
    """A proposed fine class.

    Attributes:
        number: what it is called within its coarse class; it keeps it whatever becomes of the others.
        name: as the user names it; "" while it has none.
        stability: 0 to 1, the mean Jaccard similarity to the most alike cluster found in random halves of the images
            (Hennig 2007); None where it was not measured, or members were changed since.
    """

    number: int
    name: str = ""
    stability: float | None = None


@dataclass(frozen=True, eq=False)
class Discovery:
    """Clusters of images within every coarse class. N images, C coarse classes, D numbers a vector.

    Attributes:
        images: names of the images, as the data has them, (N,).
        rows: their row numbers in the data, int64 (N,), ascending.
        splits: the split of each, "" where there is none, (N,).
        coarse_names: the coarse classes, (C,); `coarse` the class of each image, int64 (N,).
        fine_names: the fine classes that are known; `fine` the class of each image, int64 (N,), -1 where unknown.
        vectors: what was clustered, float32 (N, D), length 1; comparable within a coarse class only.
        cluster: the cluster of each image within its coarse class, int64 (N,), -1 for none.
        clusters: of every coarse class, in the order of their numbers, (C,).
        card: what it came from and how: `source`, `settings`, `tried`.
    """

    images: tuple[str, ...]
    rows: Labels
    splits: tuple[str, ...]
    coarse_names: tuple[str, ...]
    coarse: Labels
    fine_names: tuple[str, ...]
    fine: Labels
    vectors: Vectors
    cluster: Labels
    clusters: tuple[tuple[Cluster, ...], ...]
    card: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count = len(self.images)
        arrays = (self.rows, self.coarse, self.fine, self.cluster)
        if any(each.shape != (count,) for each in arrays) or len(self.splits) != count or len(self.vectors) != count:
            raise ValueError(f"arrays of {[each.shape for each in arrays]} for {count} images")
        if len(self.clusters) != len(self.coarse_names):
            raise ValueError(f"clusters of {len(self.clusters)} classes for {len(self.coarse_names)}")
        if count and not (self.coarse.min() >= 0 and self.coarse.max() < len(self.coarse_names)):
            raise ValueError("an image of no coarse class")
        if count and not (self.fine.min() >= -1 and self.fine.max() < len(self.fine_names)):
            raise ValueError("an image of a fine class that is not there")
        for c, there in enumerate(self.clusters):
            numbers = [each.number for each in there]
            found = set(self.cluster[self.coarse == c].tolist()) - {-1}
            if numbers != sorted(set(numbers)) or found != set(numbers):
                raise ValueError(f"{self.coarse_names[c]}: clusters {numbers}, images in {sorted(found)}")

    def __len__(self) -> int:
        """N, the number of images."""
        return len(self.images)

    def class_number(self, coarse: int | str) -> int:
        """The number of a coarse class given by name or number.

        Raises:
            TaxonomyError: there is none such; names the nearest.
        """
        if isinstance(coarse, str):
            if coarse not in self.coarse_names:
                raise TaxonomyError(
                    f"no coarse class {coarse!r}{nearest(coarse, self.coarse_names)}; there are "
                    f"{len(self.coarse_names)}"
                )
            return self.coarse_names.index(coarse)
        number = operator.index(coarse)
        if not 0 <= number < len(self.coarse_names):
            raise TaxonomyError(f"no coarse class number {number}; there are {len(self.coarse_names)}, from 0 on")
        return number

    def get(self, coarse: int | str, number: int) -> Cluster:
        """A cluster.

        Raises:
            TaxonomyError: no such coarse class.
            RunError: it has no such cluster; lists those it has.
        """
        c = self.class_number(coarse)
        for each in self.clusters[c]:
            if each.number == number:
                return each
        there = ", ".join(str(each.number) for each in self.clusters[c]) or "none"
        raise RunError(f"{self.coarse_names[c]} has no cluster {number}; its clusters: {there}")

    @cached_property
    def _places(self) -> list[Labels]:
        order = np.argsort(self.coarse, kind="stable")
        return np.split(order, np.searchsorted(self.coarse[order], np.arange(1, len(self.coarse_names))))

    def places(self, coarse: int | str) -> Labels:
        """Where a coarse class's images stand among the N, ascending, int64."""
        return self._places[self.class_number(coarse)]

    def members(self, coarse: int | str, number: int) -> Labels:
        """Where a cluster's images stand among the N, ascending, int64; of -1, the images in no cluster.

        Raises:
            RunError: no such cluster.
        """
        if number != -1:
            self.get(coarse, number)
        places = self.places(coarse)
        inside: Labels = places[self.cluster[places] == number]
        return inside

    @cached_property
    def _belongings(self) -> dict[int, Belonging]:
        return {}

    def belonging(self, coarse: int | str) -> Belonging:
        """How a coarse class's images, as `places` gives them, lie to its clusters."""
        c = self.class_number(coarse)
        if c not in self._belongings:
            places = self.places(c)
            numbers = np.array([each.number for each in self.clusters[c]], np.int64)
            self._belongings[c] = belonging(self.vectors[places], self.cluster[places], numbers)
        return self._belongings[c]

    @cached_property
    def strength(self) -> Vectors:
        """How firmly each image belongs to its cluster, float32 (N,), -1 to 1; see `Belonging`."""
        found = np.zeros(len(self), np.float32)
        for c in range(len(self.coarse_names)):
            found[self.places(c)] = self.belonging(c).strength
        return found

    def typical(self, coarse: int | str, number: int, count: int = 12) -> Labels:
        """Where the images nearest to a cluster's centre stand among the N, nearest first; of -1, any."""
        return self._ranked(coarse, number, -self.belonging(coarse).similarity)[:count]

    def borderline(self, coarse: int | str, number: int, count: int = 12) -> Labels:
        """Where the images of a cluster that are the nearest to another stand among the N, least firm first."""
        return self._ranked(coarse, number, self.belonging(coarse).strength)[:count]

    def _ranked(self, coarse: int | str, number: int, by: Vectors) -> Labels:
        places = self.places(coarse)
        inside = np.flatnonzero(self.cluster[places] == number)
        ranked: Labels = places[inside[np.argsort(by[inside], kind="stable")]]
        return ranked

    def changed(self, coarse: int, cluster: Labels, clusters: tuple[Cluster, ...]) -> Discovery:
        """The discovery with other labels (N,), and other clusters of one coarse class; those without members go."""
        there = set(np.unique(cluster[self.places(coarse)]).tolist())
        kept = tuple(sorted((each for each in clusters if each.number in there), key=lambda each: each.number))
        everyone = (*self.clusters[:coarse], kept, *self.clusters[coarse + 1 :])
        return replace(self, cluster=cluster, clusters=everyone)
