"""The report on runs as one HTML file: what was learned from which labels, how far it goes, and where it errs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from linnet.errors import RunError
from linnet.explain.inputs import Inputs
from linnet.explain.maps import Kind, Wanted
from linnet.explain.pictures import View, look
from linnet.explain.scores import readable
from linnet.report.chart import Chart
from linnet.report.comparison import Line, compare, grouped, headline_lines
from linnet.report.confusion import Confusions, confusions
from linnet.report.data_summary import DataSummary, summarise
from linnet.report.gallery import Gallery, drawn_queries, gallery
from linnet.report.page import MOST_BYTES, write_page
from linnet.report.plane import Map, embedding_map
from linnet.report.probe import Probe, image_name, images_of, probe
from linnet.report.series import Collection, Series, gather
from linnet.report.settings import Environment, Setting, environments, settings_of
from linnet.report.training_charts import training_charts
from linnet.report.words import learned_from, never_seen
from linnet.training.run import Run

__all__ = ["IMAGES", "Chapter", "Seen", "report_page"]

IMAGES = 10_000
"""Images of a split that are looked at one by one, at most."""

_MOST_SEEN = 4
_LOOKED_AT = 4


@dataclass(frozen=True)
class Seen:
    """What the first run of a series makes of single images.

    Attributes:
        series: whose.
        images: how many were looked at; `whole` whether that is the split.
        confusions, gallery, plane, view: the sections; None where there is nothing to show.
        names, truths: of the images in `view`.
    """

    series: Series
    images: int
    whole: bool
    confusions: Confusions
    gallery: Gallery
    plane: Map | None
    view: View
    names: tuple[str, ...]
    truths: tuple[str, ...]


@dataclass(frozen=True)
class Chapter:
    """One collection with all its sections."""

    collection: Collection
    stories: tuple[tuple[Series, str, str], ...]
    headline: tuple[Line, ...]
    main: tuple[tuple[str, list[Line]], ...]
    more: tuple[tuple[str, list[Line]], ...]
    marks: tuple[str, ...]
    data: DataSummary
    charts: tuple[Chart, ...]
    settings: tuple[Setting, ...]
    environments: tuple[Environment, ...]
    seen: tuple[Seen, ...]
    unseen: tuple[str, ...]


def report_page(
    runs: Sequence[Run],
    target: Path | str,
    *,
    split: str | None = None,
    images: int = IMAGES,
    most: int = MOST_BYTES,
    say: Callable[[str], None] = lambda _: None,
) -> int:
    """Write the report on runs.

    Figures are those of `Run.evaluate`: read where it has left them, else measured and left there. What is shown of
    single images (confusions, neighbours, maps) comes from one more pass over at most `images` of the split's images,
    for the first run of each of the first four series of a collection.

    Args:
        runs: finished runs, of one collection or several.
        target: the file to write, .html.
        split: test (where there is one) or validation, when None.
        images: how many to look at one by one, at most.
        most: bytes of the page; its pictures shrink to that.
        say: told what is being done.

    Returns:
        The page's size in bytes.

    Raises:
        RunError, RecipeError, ImageError: as the runs' own functions.
    """
    collections = gather(runs, split, say)
    chapters = [_chapter(each, images, say) for each in collections]
    names = [series.name for each in collections for series in each.series]
    content: dict[str, Any] = {
        "title": f"Report: {', '.join(names[:4])}{' and more' if len(names) > 4 else ''}",
        "chapters": chapters,
        "several": len(chapters) > 1,
        "date": datetime.now(UTC).date().isoformat(),
        "version": version("linnet"),
    }
    say("writing the page")
    return write_page("report.html.j2", content, target, most)


def _chapter(collection: Collection, images: int, say: Callable[[str], None]) -> Chapter:
    lines = compare(collection)
    series = collection.series
    marks = [mark for each in series for run in each.runs for mark in _marks(each, run.evaluation.marks, series)]
    seen = [_seen(each, images, say) for each in series[:_MOST_SEEN]]
    return Chapter(
        collection,
        tuple((each, learned_from(each.first), never_seen(each.first)) for each in series),
        tuple(headline_lines(collection, lines)),
        tuple(grouped(lines, True)),
        tuple(grouped(lines, False)),
        tuple(dict.fromkeys(marks)),
        summarise(series),
        tuple(training_charts(series)),
        tuple(settings_of(series)),
        tuple(environments(series)),
        tuple(seen),
        tuple(each.name for each in series[_MOST_SEEN:]),
    )


def _marks(series: Series, marks: Sequence[str], every: Sequence[Series]) -> list[str]:
    """What must stand beside a series' figures, and whose, where there are several."""
    told = [mark[:1].upper() + mark[1:] for mark in [*marks, series.recipe.note] if mark]
    return [f"{series.name}: {mark}" for mark in told] if len(every) > 1 else told


def _seen(series: Series, images: int, say: Callable[[str], None]) -> Seen:
    """One series' sections about single images."""
    measured = series.first
    say(f"{measured.name}: looking at images")
    probed = probe(measured, images)
    say(f"{measured.name}: laying the embedding out in the plane")
    plane = embedding_map(probed)
    say(f"{measured.name}: maps of what it looks at")
    view, names, truths = _look(probed)
    return Seen(
        series,
        len(probed.rows),
        probed.whole,
        confusions(probed),
        gallery(probed),
        plane,
        view,
        names,
        truths,
    )


def _look(probed: Probe) -> tuple[View, tuple[str, ...], tuple[str, ...]]:
    """Maps over the first queries of the gallery: Grad-CAM, or the method's own where it names no class."""
    measured, data = probed.measured, probed.data
    rows = probed.rows[drawn_queries(probed)[:_LOOKED_AT]].tolist()
    classes, targets = data.manifest.taxonomy.classes, data.manifest.targets
    truths = [{n: classes[n][number] for n, number in enumerate(targets[row]) if number >= 0} for row in rows]
    names = [image_name(data, row) for row in rows]
    inputs = Inputs(images_of(data, rows), names, truths)
    names_classes = probed.said.coarse_logits is not None or probed.said.fine_logits is not None
    kind: Kind = "grad-cam" if names_classes else "attention"
    try:
        view = look(measured.name, measured.run.bundle, inputs, Wanted(kind))
    except RunError:
        view = look(measured.name, measured.run.bundle, inputs, Wanted("attention"))
    told = tuple(readable(truth[max(truth)]) if truth else "" for truth in truths)
    return view, tuple(names), told
