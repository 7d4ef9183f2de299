"""Clusters within every coarse class: one class after another, each kept on disk when it is done."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # comes with scikit-learn

from linnet import files
from linnet.discover.clustering import components, dense_places, spherical_k_means
from linnet.discover.geometry import Labels, Vectors, units
from linnet.discover.model import Cluster, Discovery
from linnet.discover.settings import Settings
from linnet.discover.stability import Tried, choose_number, clusterwise
from linnet.discover.subjects import Subjects
from linnet.errors import SupervisionError
from linnet.randomness import permutation

__all__ = ["Found", "discover"]

_SMALL = 10_000
"""Below so many images a coarse class is clustered by one thread."""


@dataclass(frozen=True)
class Found:
    """The clusters of one coarse class with n images.

    Attributes:
        vectors: what was clustered, float32 (n, D); `labels` int64 (n,), -1 for none.
        stability: of each cluster.
        tried: numbers of clusters, where one was chosen.
    """

    vectors: Vectors
    labels: Labels
    stability: list[float]
    tried: list[Tried]


def discover(
    subjects: Subjects,
    settings: Settings | None = None,
    *,
    keep: Path | None = None,
    done: Callable[[str, int, int], None] | None = None,
) -> Discovery:
    """Propose fine classes: clusters of the embeddings within every coarse class.

    The same images, embeddings and settings give the same clusters, in whatever order the images come.

    Args:
        subjects: the images; those of one coarse class are compared with each other only.
        settings: how; None for `Settings()`.
        keep: a folder for coarse classes that are done; a call that was broken off goes on from there.
        done: called for each coarse class with its name, its number of images and of clusters.

    Raises:
        SupervisionError: "true" clusters where a coarse class has no image with a fine label.
        ValueError: an embedding is not finite.
    """
    settings = settings or Settings()
    order = np.argsort(subjects.rows, kind="stable")
    position = np.empty(len(order), np.int64)  # where each image will stand
    position[order] = np.arange(len(order))
    labels = np.full(len(order), -1, np.int64)
    vectors = np.empty((len(order), settings.pca or subjects.embedding.shape[1]), np.float32)
    clusters: list[tuple[Cluster, ...]] = []
    tried: dict[str, Any] = {}
    for c, name in enumerate(subjects.coarse_names):
        places = np.flatnonzero(np.asarray(subjects.coarse) == c)
        if not len(places):
            clusters.append(())
            continue
        # By name, so that the order of the images does not count.
        places = np.array(sorted(places.tolist(), key=subjects.images.__getitem__), np.int64)
        found = _kept(subjects, places, c, settings, keep)
        labels[position[places]] = found.labels
        vectors[position[places]] = found.vectors
        clusters.append(tuple(Cluster(k, "", round(each, 4)) for k, each in enumerate(found.stability)))
        if found.tried:
            tried[name] = [asdict(each) for each in found.tried]
        if done is not None:
            done(name, len(places), len(found.stability))
    return Discovery(
        tuple(subjects.images[i] for i in order),
        np.asarray(subjects.rows, np.int64)[order],
        tuple(subjects.splits[i] for i in order),
        tuple(subjects.coarse_names),
        np.asarray(subjects.coarse, np.int64)[order],
        tuple(subjects.fine_names),
        subjects.fine[order],
        vectors,
        labels,
        tuple(clusters),
        {"source": subjects.source, "settings": settings.to_json(), "tried": tried},
    )


def _kept(subjects: Subjects, places: Labels, c: int, settings: Settings, keep: Path | None) -> Found:
    """The clusters of a coarse class, from `keep` where they lie there for the same vectors and settings."""
    from safetensors import safe_open
    from safetensors.numpy import save_file

    unit = units(np.asarray(subjects.embedding[places]))
    if keep is None:
        return _cluster(subjects, unit, places, c, settings)
    known = subjects.fine[places] if settings.clusters == "true" else ()
    identity = json.dumps([settings.to_json(), c, len(np.unique(known))], sort_keys=True).encode()
    state = hashlib.sha256(identity)
    state.update(unit.data)
    file = keep / f"class-{state.hexdigest()[:24]}.safetensors"
    if file.exists():
        with safe_open(file, "numpy") as opened:
            told = json.loads(opened.metadata()["found"])
            tried = [Tried(**each) for each in told["tried"]]
            return Found(opened.get_tensor("vectors"), opened.get_tensor("labels"), told["stability"], tried)
    found = _cluster(subjects, unit, places, c, settings)
    told = {"stability": found.stability, "tried": [asdict(each) for each in found.tried]}
    with files.atomic_path(file) as aside:
        save_file({"vectors": found.vectors, "labels": found.labels}, aside, {"found": json.dumps(told)})
    return found


def _cluster(subjects: Subjects, unit: Vectors, places: Labels, c: int, settings: Settings) -> Found:
    # Thousands of small problems: to start threads for each takes longer than to solve it.
    with threadpool_limits(1 if len(unit) < _SMALL else None):
        return _searched(subjects, unit, places, c, settings)


def _searched(subjects: Subjects, unit: Vectors, places: Labels, c: int, settings: Settings) -> Found:
    vectors = unit if settings.pca is None else components(unit, settings.pca, settings.seed)
    tried: list[Tried] = []
    seed = settings.seed
    find: Callable[[Vectors, int], Labels]
    if settings.method == "hdbscan":
        labels = dense_places(vectors, settings.least, seed, c)

        def find(part: Vectors, repetition: int) -> Labels:
            return dense_places(part, max(2, settings.least // 2), seed, c, repetition)
    else:
        count, tried = _number(subjects, vectors, places, c, settings)
        labels = spherical_k_means(vectors, count, seed, c)

        def find(part: Vectors, repetition: int) -> Labels:
            return spherical_k_means(part, count, seed, c, repetition, starts=3)

    again = []
    for repetition in range(settings.repeats):
        part = _half(len(vectors), settings, c, repetition)
        again.append((part, find(vectors[part], repetition)))
    return Found(vectors, labels, clusterwise(labels, again), tried)


def _half(count: int, settings: Settings, c: int, repetition: int) -> Labels:
    """The places of half the images, or of as many as two subsamples have."""
    drawn = permutation(count, settings.seed, "half", c, repetition)
    return np.sort(drawn[: min((count + 1) // 2, 2 * settings.sample)])


def _number(
    subjects: Subjects, vectors: Vectors, places: Labels, c: int, settings: Settings
) -> tuple[int, list[Tried]]:
    """How many clusters k-means is to find in a coarse class."""
    if settings.clusters == "auto":
        return choose_number(
            vectors,
            settings.most,
            settings.least,
            settings.seed,
            (c,),
            repeats=settings.repeats,
            sample=settings.sample,
        )
    if settings.clusters == "true":
        known = np.unique(subjects.fine[places])
        count = int((known >= 0).sum())
        if not count:
            raise SupervisionError(
                f"clusters = true, but no image of {subjects.coarse_names[c]!r} has a fine label; give a number, "
                "or auto"
            )
        return count, []
    return min(settings.clusters, len(places)), []
