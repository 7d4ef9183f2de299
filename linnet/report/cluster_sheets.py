"""Contact sheets of clusters, for the page of a discovery and for the report: typical and borderline images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from linnet.discover.model import Cluster, Discovery
from linnet.discover.pictures import thumbnails
from linnet.manifest import Manifest

__all__ = ["SIDE", "Picture", "Sheet", "cluster_sheet", "pictures"]

SIDE = 112
"""The largest side of a picture, pixels."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A square (S, S, 3), what it is called, and what stands below it."""

    pixels: NDArray[np.uint8]
    title: str
    caption: str


@dataclass(frozen=True)
class Sheet:
    """One cluster: what it is called, what is told of it, and its pictures."""

    heading: str
    told: str
    typical: tuple[Picture, ...]
    borderline: tuple[Picture, ...]


def cluster_sheet(
    discovery: Discovery, manifest: Manifest, c: int, cluster: Cluster, typical: int, borderline: int
) -> Sheet:
    """One cluster of coarse class `c` with up to so many pictures of each kind; none is shown twice.

    Raises:
        ImageError: images that cannot be decoded.
    """
    first = discovery.typical(c, cluster.number, typical).tolist()
    last: list[int] = []
    if len(discovery.clusters[c]) > 1:
        seen = set(first)
        found = discovery.borderline(c, cluster.number, typical + borderline).tolist()
        last = [place for place in found if place not in seen][:borderline]
    second = dict(zip(discovery.places(c).tolist(), discovery.belonging(c).second.tolist(), strict=True))
    near = {place: f"near {second[place]}" for place in last}  # the number: names may be long
    stability = "" if cluster.stability is None else f", stability {cluster.stability:.2f}"
    return Sheet(
        f"{cluster.number}: {cluster.name}" if cluster.name else f"cluster {cluster.number}",
        f"{len(discovery.members(c, cluster.number)):,} images{stability}",
        pictures(discovery, manifest, first, {}),
        pictures(discovery, manifest, last, near),
    )


def pictures(
    discovery: Discovery, manifest: Manifest, places: Sequence[int], captions: Mapping[int, str]
) -> tuple[Picture, ...]:
    """The images at places among the N of a discovery; captions by place."""
    seen = thumbnails(manifest, [int(discovery.rows[place]) for place in places], SIDE)
    return tuple(
        Picture(pixels, discovery.images[place], captions.get(place, ""))
        for place, pixels in zip(places, seen, strict=True)
    )
