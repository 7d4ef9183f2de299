"""What a user does to a discovery: name, merge, split, move. Each gives a new discovery and leaves the old one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from linnet.discover.clustering import spherical_k_means
from linnet.discover.model import Cluster, Discovery
from linnet.errors import RunError
from linnet.hierarchy import is_one_line

__all__ = ["merge", "move", "rename", "split"]


def rename(discovery: Discovery, coarse: int | str, number: int, name: str) -> Discovery:
    """Name a cluster; "" takes the name away. Clusters of one coarse class with one name become one fine class.

    Raises:
        RunError: no such cluster, or a name with control characters.
    """
    c, name = discovery.class_number(coarse), name.strip()
    if discovery.get(c, number).name == name:
        return discovery
    if name and not is_one_line(name):
        raise RunError(f"{name!r}: a name cannot hold control characters or broken Unicode")
    clusters = tuple(replace(each, name=name) if each.number == number else each for each in discovery.clusters[c])
    return discovery.changed(c, discovery.cluster, clusters)


def merge(discovery: Discovery, coarse: int | str, numbers: Sequence[int], name: str | None = None) -> Discovery:
    """Put clusters of one coarse class together under the lowest of their numbers.

    Args:
        name: of the whole; None takes the one name that they have.

    Raises:
        RunError: no such cluster, fewer than two, or they have several names and `name` is None.
    """
    c, wanted = discovery.class_number(coarse), sorted(set(numbers))
    parts = [discovery.get(c, number) for number in wanted]
    if len(parts) < 2:
        raise RunError(f"merge needs two clusters or more; given {', '.join(map(str, wanted)) or 'none'}")
    names = sorted({each.name for each in parts} - {""})
    if name is None and len(names) > 1:
        raise RunError(f"the clusters are called {', '.join(map(repr, names))}; say what the whole is called")
    whole = Cluster(wanted[0], (names or [""])[0])
    labels = discovery.cluster.copy()
    places = discovery.places(c)
    labels[places[np.isin(labels[places], wanted)]] = whole.number
    rest = tuple(each for each in discovery.clusters[c] if each.number not in wanted)
    merged = discovery.changed(c, labels, (whole, *rest))
    return merged if name is None else rename(merged, c, whole.number, name)


def split(discovery: Discovery, coarse: int | str, number: int) -> Discovery:
    """Cluster a cluster in two. The larger part keeps number and name, the other gets the next free number, no name.

    Raises:
        RunError: no such cluster, or its images cannot be told apart.
    """
    c = discovery.class_number(coarse)
    old, members = discovery.get(c, number), discovery.members(coarse, number)
    seed = int(discovery.card.get("settings", {}).get("seed", 0))
    # By name, so that the order of the images does not count.
    members = np.array(sorted(members.tolist(), key=discovery.images.__getitem__), np.int64)
    halves = spherical_k_means(discovery.vectors[members], 2, seed)
    if halves.max(initial=0) < 1:
        raise RunError(f"{discovery.coarse_names[c]}, cluster {number}: its {len(members)} images are all alike")
    fresh = 1 + max(each.number for each in discovery.clusters[c])
    labels = discovery.cluster.copy()
    labels[members[halves == 1]] = fresh
    rest = tuple(each for each in discovery.clusters[c] if each.number != number)
    return discovery.changed(c, labels, (*rest, replace(old, stability=None), Cluster(fresh)))


def move(discovery: Discovery, places: Sequence[int], number: int | None) -> Discovery:
    """Move images to another cluster of their coarse class: -1 for none, None for a new one.

    A cluster that loses its last image goes.

    Args:
        places: where the images stand among the N of the discovery.

    Raises:
        RunError: no image, one that is not there, images of several coarse classes, or no such cluster.
    """
    chosen = np.unique(np.asarray(places, dtype=np.int64))
    if not len(chosen) or chosen[0] < 0 or chosen[-1] >= len(discovery):
        raise RunError(f"{len(chosen)} images to move; give some, by their places from 0 to {len(discovery) - 1}")
    classes = np.unique(discovery.coarse[chosen])
    if len(classes) > 1:
        names = ", ".join(discovery.coarse_names[c] for c in classes.tolist())
        raise RunError(f"the images are of several coarse classes, {names}; move those of each by themselves")
    c, labels = int(classes[0]), discovery.cluster.copy()
    target = 1 + max((each.number for each in discovery.clusters[c]), default=-1) if number is None else number
    if number not in (None, -1):
        discovery.get(c, target)
    touched = {target, *labels[chosen[labels[chosen] != target]].tolist()}
    if bool((labels[chosen] == target).all()):
        return discovery
    labels[chosen] = target
    known = [replace(each, stability=None) if each.number in touched else each for each in discovery.clusters[c]]
    return discovery.changed(c, labels, (*known, *([Cluster(target)] if number is None else [])))
