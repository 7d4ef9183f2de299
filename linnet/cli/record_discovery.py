"""Figures of discoveries as lines of the record."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from statistics import fmean
from typing import TYPE_CHECKING, Any

from linnet.errors import RunError
from linnet.report.results import Result, machine, told_command, versions

if TYPE_CHECKING:
    from linnet.discover import Discovery, Scores

__all__ = ["discovery_results"]


def discovery_results(
    found: Sequence[Discovery],
    scores: Sequence[tuple[Scores, list[Scores]]],
    *,
    row: str | None = None,
    dataset: str | None = None,
    scale: str | None = None,
    note: str = "",
    each: bool = False,
) -> list[Result]:
    """One result for each metric over discoveries that differ in their seed alone.

    Args:
        found, scores: as `discover` and `score` give them.
        row: the embedding, by default the run's row or "pixels".
        dataset, scale: by default the run's.
        note: what a reader must know besides.
        each: a result for each coarse class too, as a row of a data set of its own.

    Raises:
        RunError: discoveries of different images, embeddings or settings, or of one seed twice.
    """
    first = found[0]
    seeds = [int(one.card["settings"]["seed"]) for one in found]
    if any(_same(one) != _same(first) for one in found):
        raise RunError("the discoveries differ in more than their seed; record each by itself")
    if len(set(seeds)) < len(seeds):
        raise RunError(f"seeds {', '.join(map(str, seeds))}: a seed counts once; leave out the second discovery of it")
    source, settings = first.card["source"], first.card["settings"]
    name = dataset or source.get("dataset") or source.get("data") or "images"
    row = row or source["embedding"]
    shared = {
        "paper": "discover",
        "table": "",
        "row": row,
        "dataset": f"{name}, discovery",
        "protocol": _protocol(settings),
        "scale": scale or source.get("scale", "own"),
        "start": source["start"],
        "split": source["on"] or "all",
        "seeds": seeds,
        "seconds": None,
        "machine": machine(),
        "versions": versions(),
        "command": told_command(source["command"]),
        "date": datetime.now(UTC).date().isoformat(),
        "notes": "; ".join(filter(None, [*source.get("marks", []), note])),
    }
    lines = _lines(shared, [whole for whole, _ in scores])
    for number, part in enumerate(scores[0][1] if each else ()):
        own = {"dataset": f"{name}, discovery in each coarse class by {row}", "row": part.name}
        lines += _lines(shared | own, [parts[number] for _, parts in scores])
    return lines


def _same(one: Discovery) -> tuple[Any, ...]:
    source = {key: value for key, value in one.card["source"].items() if key != "command"}
    settings = {key: value for key, value in one.card["settings"].items() if key != "seed"}
    return source, settings, one.images


def _protocol(settings: dict[str, Any]) -> str:
    """How clusters were looked for, in words."""
    number = {
        "true": "number of clusters known",
        "auto": f"number of clusters chosen by stability, 1 to {settings['most']}",
    }
    how = number.get(settings["clusters"], f"{settings['clusters']} clusters a coarse class")
    if settings["method"] == "hdbscan":
        how = f"HDBSCAN, clusters of {settings['least']} images or more"
    return f"{how}, {settings['pca']} principal components" if settings["pca"] else how


def _lines(shared: dict[str, Any], scores: Sequence[Scores]) -> list[Result]:
    return [
        Result(
            **shared,
            metric=metric,
            values=tuple(round(one.figures[metric], 4) for one in scores),
            floor=None if metric in ("clusters", "fine_classes", "unclustered") else _floor(metric, scores),
            published=None,
        )
        for metric in scores[0].figures
        if metric != "unclustered" or any(one.figures[metric] for one in scores)  # k-means leaves nothing out
    ]


def _floor(metric: str, scores: Sequence[Scores]) -> float:
    """What chance scores, on average over seeds; of accuracy also one cluster for all, whichever is more."""
    chance = fmean(one.chance[metric] for one in scores)
    return round(max(chance, fmean(one.majority[metric] for one in scores)), 4)
