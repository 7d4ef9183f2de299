"""Contact sheets of a discovery as one HTML file: typical and borderline images of every cluster."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linnet.discover.model import Cluster, Discovery
from linnet.discover.pictures import thumbnails
from linnet.manifest import Manifest
from linnet.report.page import MOST_BYTES, write_page

__all__ = ["discovery_page"]

_SIDE = 112
_MOST_PICTURES = 3000
_TYPICAL, _BORDERLINE, _REST = 12, 6, 18


@dataclass(frozen=True)
class _Picture:
    pixels: NDArray[np.uint8]
    title: str
    caption: str


def discovery_page(
    discovery: Discovery, manifest: Manifest, target: Path | str, *, title: str = "", most: int = MOST_BYTES
) -> int:
    """Write the contact sheets of a discovery as a page that is whole by itself.

    Of every cluster the images nearest to its centre and those nearest to another cluster, fewer of each where there
    are very many clusters; of the images in no cluster, some.

    Args:
        manifest: the one that was clustered.
        target: the file to write, .html.
        title: its heading; "" for one that says how many clusters of how many images there are.
        most: bytes of the whole page; its pictures shrink to that.

    Returns:
        Its size in bytes.

    Raises:
        ImageError: images that cannot be decoded.
    """
    clusters = sum(map(len, discovery.clusters))
    share = min(1.0, _MOST_PICTURES / max(1, clusters * (_TYPICAL + _BORDERLINE)))
    typical, borderline = max(3, int(_TYPICAL * share)), max(2, int(_BORDERLINE * share))
    content = {
        "title": title or f"{clusters:,} clusters of {len(discovery):,} images",
        "about": list(_about(discovery)),
        "side": _SIDE,
        "sections": [
            _section(discovery, manifest, c, typical, borderline)
            for c in range(len(discovery.coarse_names))
            if len(discovery.places(c))
        ],
    }
    return write_page("sheets.html.j2", content, target, most)


def _about(discovery: Discovery) -> Iterator[str]:
    """What was clustered and how, in words."""
    source, settings = discovery.card.get("source", {}), discovery.card.get("settings", {})
    if source:
        which = f"{source['on']} images" if source.get("on") else "all images with a coarse label"
        yield f"Embedding: {source['embedding']}; {which}."
    if settings:
        number = {"auto": "as many clusters as are stable", "true": "as many clusters as fine classes are known"}
        how = number.get(settings["clusters"], f"{settings['clusters']} clusters in each coarse class")
        yield f"{settings['method']}, {how if settings['method'] == 'k-means' else 'dense places'}."
    yield (
        "Stability: how alike the cluster is to the most alike one found in random halves of the images, 0 to 1. "
        "Borderline images are nearest to another cluster: where they look like it, the border lies elsewhere or "
        "there is none."
    )


def _section(discovery: Discovery, manifest: Manifest, c: int, typical: int, borderline: int) -> dict[str, Any]:
    """One coarse class."""
    there, rest = discovery.clusters[c], discovery.members(c, -1)
    shown = discovery.members(c, -1)[:: max(1, len(rest) // _REST)][:_REST]
    return {
        "name": discovery.coarse_names[c],
        "told": f"{len(discovery.places(c)):,} images, {len(there)} clusters",
        "clusters": [_cluster(discovery, manifest, c, each, typical, borderline) for each in there],
        "rest": _pictures(discovery, manifest, shown.tolist(), {}),
        "rest_told": f"{len(rest):,} images",
    }


def _cluster(
    discovery: Discovery, manifest: Manifest, c: int, cluster: Cluster, typical: int, borderline: int
) -> dict[str, Any]:
    """One cluster: what it is called, and its pictures; none is shown twice."""
    first = discovery.typical(c, cluster.number, typical).tolist()
    last: list[int] = []
    if len(discovery.clusters[c]) > 1:
        seen = set(first)
        found = discovery.borderline(c, cluster.number, typical + borderline).tolist()
        last = [place for place in found if place not in seen][:borderline]
    second = dict(zip(discovery.places(c).tolist(), discovery.belonging(c).second.tolist(), strict=True))
    near = {place: f"near {second[place]}" for place in last}  # the number: names may be long
    stability = "" if cluster.stability is None else f", stability {cluster.stability:.2f}"
    return {
        "heading": f"{cluster.number}: {cluster.name}" if cluster.name else f"cluster {cluster.number}",
        "told": f"{len(discovery.members(c, cluster.number)):,} images{stability}",
        "typical": _pictures(discovery, manifest, first, {}),
        "borderline": _pictures(discovery, manifest, last, near),
    }


def _pictures(discovery: Discovery, manifest: Manifest, places: list[int], captions: dict[int, str]) -> list[_Picture]:
    rows = [int(discovery.rows[place]) for place in places]
    seen = thumbnails(manifest, rows, _SIDE)
    return [
        _Picture(pixels, discovery.images[place], captions.get(place, ""))
        for place, pixels in zip(places, seen, strict=True)
    ]
