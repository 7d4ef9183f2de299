"""Contact sheets of a discovery as one HTML file: typical and borderline images of every cluster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from linnet.discover.model import Discovery
from linnet.manifest import Manifest
from linnet.report.cluster_sheets import SIDE, cluster_sheet, pictures
from linnet.report.page import MOST_BYTES, write_page

__all__ = ["discovery_page", "how"]

_MOST_PICTURES = 3000
_TYPICAL, _BORDERLINE, _REST = 12, 6, 18


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
        "about": list(how(discovery)),
        "side": SIDE,
        "sections": [
            _section(discovery, manifest, c, typical, borderline)
            for c in range(len(discovery.coarse_names))
            if len(discovery.places(c))
        ],
    }
    return write_page("sheets.html.j2", content, target, most)


def how(discovery: Discovery) -> Iterator[str]:
    """What was clustered and how, and what stability and borderline mean, in words."""
    source, settings = discovery.card.get("source", {}), discovery.card.get("settings", {})
    if source:
        which = f"{source['on']} images" if source.get("on") else "all images with a coarse label"
        yield f"Embedding: {source['embedding']}; {which}."
    if settings:
        number = {"auto": "as many clusters as are stable", "true": "as many clusters as fine classes are known"}
        told = number.get(settings["clusters"], f"{settings['clusters']} clusters in each coarse class")
        yield f"{settings['method']}, {told if settings['method'] == 'k-means' else 'dense places'}."
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
        "clusters": [cluster_sheet(discovery, manifest, c, each, typical, borderline) for each in there],
        "rest": pictures(discovery, manifest, shown.tolist(), {}),
        "rest_told": f"{len(rest):,} images",
    }
