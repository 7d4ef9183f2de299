"""What was discovered with a run's embeddings: clusters of each coarse class, how chosen, how stable, how good."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from linnet.discover import Discovery, Scores, open_discovery, score
from linnet.discover.embed import manifest_of
from linnet.errors import RunError
from linnet.manifest import Manifest
from linnet.report.cluster_sheets import Sheet, cluster_sheet
from linnet.report.discovery_page import how
from linnet.report.labels import heading
from linnet.report.series import Measured
from linnet.report.words import cited, never_seen
from linnet.training.run import Run

__all__ = ["MOST_DISCOVERIES", "ClassRow", "Discovered", "Figure", "Strips", "assign", "discovered"]

MOST_DISCOVERIES = 4
"""Discoveries on one page."""

_OVERALL = ("cluster_accuracy", "cluster_nmi_within", "cluster_ari_within", "cluster_nmi", "cluster_ari")
_ROWS = 60
_EACH_END = 2
_CLUSTERS = 6
_TYPICAL, _BORDERLINE = 6, 6


@dataclass(frozen=True)
class Figure:
    """A figure, percent, and what it would be for clusters of the same sizes filled by lot (`chance`), and for one
    cluster in each coarse class (`single`)."""

    name: str
    value: float
    chance: float
    single: float


@dataclass(frozen=True)
class ClassRow:
    """One coarse class.

    Attributes:
        number: of the class; `known` how many fine classes its images are known to have, 0 for none.
        chosen: why it has so many clusters.
        stability, least: mean and least over its clusters; None where it was not measured.
        accuracy, nmi, ari: None without fine labels.
        names: those given so far, with how many clusters have one.
    """

    number: int
    name: str
    images: int
    clusters: int
    known: int
    chosen: str
    stability: float | None
    least: float | None
    accuracy: Figure | None
    nmi: Figure | None
    ari: Figure | None
    names: tuple[str, ...]
    named: int

    @property
    def rank(self) -> float:
        """By what coarse classes are better: accuracy above the floors, else stability, which a single cluster has for
        nothing."""
        if self.accuracy is not None:
            return self.accuracy.value - max(self.accuracy.chance, self.accuracy.single)
        return (self.stability or 0.0) if self.clusters > 1 else -1.0


@dataclass(frozen=True)
class Strips:
    """Contact strips of a coarse class: a sheet for each of its first clusters with what its images are known to be,
    and how many clusters are left out."""

    row: ClassRow
    word: str
    sheets: tuple[tuple[Sheet, str], ...]
    hidden: int


@dataclass(frozen=True)
class Discovered:
    """The section of one discovery.

    Attributes:
        folder, run: where it lies, and the run whose embeddings it is of.
        level, finer: the level looked into, and the one below it.
        images, classes, clusters: how many.
        splits: images by split, as the data names it.
        about: how it was made, in words.
        marks: what a reader must know beside its figures.
        labelled: images with a known fine class; `overall` their figures.
        rows: coarse classes, best first; `hidden` how many more there are.
        strips: of the worst and the best coarse classes that have several clusters.
        named: clusters with a name.
    """

    folder: str
    run: str
    level: str
    finer: str
    images: int
    classes: int
    clusters: int
    splits: tuple[tuple[str, int], ...]
    about: tuple[str, ...]
    marks: tuple[str, ...]
    labelled: int
    overall: tuple[Figure, ...]
    rows: tuple[ClassRow, ...]
    hidden: int
    strips: tuple[Strips, ...]
    named: int


def assign(folders: Sequence[Path], runs: Sequence[Run]) -> list[tuple[Path, Discovery, Run]]:
    """Open discoveries, each with the run whose embeddings it is of.

    Raises:
        RunError: more than a page takes; a folder that holds none; or one that is of another bundle than the runs'.
    """
    if len(folders) > MOST_DISCOVERIES:
        raise RunError(f"{len(folders)} discoveries; a page takes {MOST_DISCOVERIES}: name fewer")
    bundles = {each.bundle.card["weights_sha256"]: each for each in reversed(runs)}
    found = []
    for folder in folders:
        discovery = open_discovery(folder)
        source = discovery.card.get("source", {})
        sha = source.get("bundle_sha256")
        if sha not in bundles:
            raise RunError(f"{folder}: {_stranger(source)}; the runs here are {_told(bundles)}. Name the run it is of")
        found.append((folder, discovery, bundles[sha]))
    return found


def _stranger(source: dict[str, Any]) -> str:
    sha = source.get("bundle_sha256")
    if not sha:
        return f"a discovery by {source.get('embedding') or 'vectors'}, which no run gave"
    return f"a discovery by {source.get('run') or source.get('embedding')} with the bundle {sha[:12]}"


def _told(bundles: dict[str, Run]) -> str:
    return ", ".join(f"{each.folder} ({sha[:12]})" for sha, each in reversed(bundles.items()))


def discovered(folder: Path, discovery: Discovery, measured: Measured) -> Discovered:
    """The section of a discovery.

    Args:
        measured: the run whose embeddings it is of; its root says where clustered data lies that is not its own.

    Raises:
        RunError: the data that was clustered is gone or has changed.
        ImageError: images that cannot be decoded.
    """
    whole, parts = score(discovery) if (discovery.fine >= 0).any() else (None, [])
    by_name = {each.name: each for each in parts}
    there = [c for c in range(len(discovery.coarse_names)) if len(discovery.places(c))]
    rows = [_row(discovery, c, by_name.get(discovery.coarse_names[c])) for c in there]
    rows.sort(key=lambda row: (-row.rank, row.name))
    manifest = _manifest(discovery, measured)
    several = [row for row in rows if row.clusters > 1]
    best, worst = several[:_EACH_END], several[_EACH_END:][-_EACH_END:]
    return Discovered(
        str(folder),
        measured.name,
        *_levels(discovery, manifest),
        len(discovery),
        len(rows),
        sum(row.clusters for row in rows),
        tuple(sorted(Counter(each or "no split" for each in discovery.splits).items())),
        tuple(how(discovery)),
        tuple(_marks(discovery, measured, whole)),
        whole.images if whole else 0,
        _overall(whole) if whole else (),
        tuple(rows[:_ROWS]),
        max(0, len(rows) - _ROWS),
        tuple(
            _strips(discovery, manifest, row, word)
            for word, part in (("among the best", best), ("among the worst", worst))
            for row in part
        ),
        sum(row.named for row in rows),
    )


def _levels(discovery: Discovery, manifest: Manifest) -> tuple[str, str]:
    """The level looked into, and what its finer classes are called."""
    levels = manifest.taxonomy.levels
    level = discovery.card.get("source", {}).get("coarse_level", levels[0])
    below = levels.index(level) + 1 if level in levels else len(levels)
    return level, levels[below] if below < len(levels) else "fine"


def _manifest(discovery: Discovery, measured: Measured) -> Manifest:
    """The run's own data where that was clustered, else what the discovery says."""
    if discovery.card.get("source", {}).get("fingerprint") == measured.data.manifest.fingerprint:
        return measured.data.manifest
    return manifest_of(discovery, None, measured.run.recipe.root)


def _marks(discovery: Discovery, measured: Measured, whole: Scores | None) -> list[str]:
    """What stands beside the figures."""
    found = []
    if discovery.card.get("settings", {}).get("clusters") == "true":
        found.append("The number of clusters was taken from the known fine labels: without these it is not known.")
    if whole is None:
        return found
    trained = sum(split in ("train", "validation") for split in discovery.splits)
    if not never_seen(measured):
        found.append("The run learned from fine labels, so figures on images that it was trained on flatter it.")
    elif trained:
        told = "All" if trained == len(discovery) else f"{trained:,} of {len(discovery):,}"
        found.append(f"{told} images are of splits that the run was trained or chosen on, by coarse labels.")
    return found


def _overall(whole: Scores) -> tuple[Figure, ...]:
    return tuple(_figure(whole, metric) for metric in _OVERALL if metric in whole.figures)


def _figure(scores: Scores, metric: str) -> Figure:
    return Figure(heading(metric), scores.figures[metric], scores.chance[metric], scores.majority[metric])


def _row(discovery: Discovery, c: int, scores: Scores | None) -> ClassRow:
    there, name = discovery.clusters[c], discovery.coarse_names[c]
    stable = [each.stability for each in there if each.stability is not None]
    named = [each.name for each in there if each.name]
    accuracy, nmi, ari = (_figure(scores, f"cluster_{each}") if scores else None for each in ("accuracy", "nmi", "ari"))
    return ClassRow(
        c,
        cited(name),
        len(discovery.places(c)),
        len(there),
        int(scores.figures["fine_classes"]) if scores else 0,
        _chosen(discovery, name, len(there)),
        fmean(stable) if stable else None,
        min(stable, default=None),
        accuracy,
        nmi,
        ari,
        tuple(cited(each) for each in dict.fromkeys(named)),
        len(named),
    )


def _chosen(discovery: Discovery, name: str, clusters: int) -> str:
    """Why a coarse class has so many clusters, where that was tried."""
    tried = discovery.card.get("tried", {}).get(name, [])
    if not tried:
        return ""
    clear = [each for each in tried if each["clear"]]
    best = max(clear or tried, key=lambda each: (each["stability"] - each["reference"], -each["number"]))
    agree = f"{best['stability']:.2f} / {best['reference']:.2f}"
    told = agree if clear else f"no number stood clear; best {best['number']}: {agree}"
    found = best["number"] if clear else 1
    return told if found == clusters else f"{told}; {found} at first, changed by hand since"


def _strips(discovery: Discovery, manifest: Manifest, row: ClassRow, word: str) -> Strips:
    c, there = row.number, discovery.clusters[row.number]
    shown = there[:_CLUSTERS]
    sheets = tuple(
        (cluster_sheet(discovery, manifest, c, each, _TYPICAL, _BORDERLINE), _commonest(discovery, c, each.number))
        for each in shown
    )
    return Strips(row, word, sheets, len(there) - len(shown))


def _commonest(discovery: Discovery, c: int, number: int) -> str:
    """What most images of a cluster are known to be, and their share; '' where nobody knows."""
    members = discovery.members(c, number)
    fine = discovery.fine[members]
    fine = fine[fine >= 0]
    if not len(fine):
        return ""
    numbers, counts = np.unique(fine, return_counts=True)
    most = int(numbers[counts.argmax()])
    return f"{100 * int(counts.max()) / len(fine):.0f} % {cited(discovery.fine_names[most])}"
