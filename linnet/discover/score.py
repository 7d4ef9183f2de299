"""How a discovery fits the fine classes that are known, beside what chance and one cluster for all would score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from linnet.discover.geometry import Labels
from linnet.discover.model import Discovery
from linnet.errors import SupervisionError
from linnet.metrics.clusters import adjusted_rand, matched, normalised_mutual_information
from linnet.randomness import generator

__all__ = ["Scores", "score"]

_DRAWS = 20


@dataclass(frozen=True)
class Scores:
    """Figures of a set of images, in percent but for counts.

    `cluster_accuracy`: images that are right when each cluster stands for one fine class and each class for one
    cluster, as well as can be; images in no cluster are not right. `cluster_nmi`, `cluster_ari`: normalised mutual
    information and adjusted Rand index of clusters and fine classes; images in no cluster count as one cluster more.
    Overall also `cluster_nmi_within`, `cluster_ari_within`: means over coarse classes, weighted by images, which the
    coarse labels themselves do not raise. `clusters`, `fine_classes`: how many there are. `unclustered`: images in no
    cluster.

    Attributes:
        name: the coarse class, or "all".
        images: how many with a known fine class.
        figures: by metric.
        chance: the same for clusters of the same sizes filled at random, the mean of 20 draws.
        majority: the same with one cluster for each coarse class, whose accuracy is the largest fine class's share.
    """

    name: str
    images: int
    figures: dict[str, float]
    chance: dict[str, float]
    majority: dict[str, float]


def score(discovery: Discovery, seed: int = 0) -> tuple[Scores, list[Scores]]:
    """Scores over all images with a known fine class, and of each coarse class that has any.

    One best matching over all clusters and all fine classes is the same as one for each coarse class: a cluster can
    only hold fine classes of its own coarse class.

    Raises:
        SupervisionError: no image has a known fine class.
    """
    known = discovery.fine >= 0
    if not known.any():
        raise SupervisionError("no image of the discovery has a fine label, so there is nothing to measure against")
    parts = []
    for c in np.unique(discovery.coarse[known]).tolist():
        rows = np.flatnonzero(known & (discovery.coarse == c))
        parts.append((discovery.coarse_names[c], rows))
    found = [_measure(discovery, name, [rows], seed) for name, rows in parts]
    return _measure(discovery, "all", [rows for _, rows in parts], seed), found


def _measure(discovery: Discovery, name: str, groups: list[Labels], seed: int) -> Scores:
    fine = [discovery.fine[rows] for rows in groups]
    clusters = [discovery.cluster[rows] for rows in groups]
    draws = []
    for number in range(_DRAWS):
        shuffled = []
        for rows, there in zip(groups, clusters, strict=True):
            c = int(discovery.coarse[rows[0]])
            shuffled.append(there[generator(seed, "chance", number, c).permutation(len(there))])
        draws.append(_figures(shuffled, fine))
    chance = {metric: float(np.mean([draw[metric] for draw in draws])) for metric in draws[0]}
    majority = _figures([np.zeros(len(each), np.int64) for each in fine], fine)
    return Scores(name, sum(map(len, groups)), _figures(clusters, fine), chance, majority)


def _figures(clusters: list[Labels], fine: list[Labels]) -> dict[str, float]:
    """The figures of images in groups, one a coarse class."""
    sizes = [len(each) for each in fine]
    total = sum(sizes)
    right = sum(matched(c, f) for c, f in zip(clusters, fine, strict=True))
    joint, every = _joined(clusters), np.concatenate(fine)
    figures = {
        "cluster_accuracy": 100 * right / total,
        "cluster_nmi": 100 * normalised_mutual_information(joint, every),
        "cluster_ari": 100 * adjusted_rand(joint, every),
    }
    if len(fine) > 1:
        for metric, measure in (("nmi", normalised_mutual_information), ("ari", adjusted_rand)):
            within = [measure(c, f) for c, f in zip(clusters, fine, strict=True)]
            figures[f"cluster_{metric}_within"] = 100 * float(np.average(within, weights=sizes))
    return figures | {
        "clusters": float(sum(len(set(each.tolist()) - {-1}) for each in clusters)),
        "fine_classes": float(sum(len(np.unique(each)) for each in fine)),
        "unclustered": 100 * float(sum((each < 0).sum() for each in clusters)) / total,
    }


def _joined(clusters: list[Labels]) -> Labels:
    """One number for each pair of a group and a cluster."""
    most = 2 + max(int(each.max(initial=-1)) for each in clusters)
    return np.concatenate([number * most + 1 + each for number, each in enumerate(clusters)])
