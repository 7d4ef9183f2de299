"""The report on runs as one HTML file: what was learned from which labels, how far it goes, and where it errs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from linnet.discover import Discovery
from linnet.errors import RunError
from linnet.explain.inputs import Inputs
from linnet.explain.maps import Kind, Wanted
from linnet.explain.pictures import View, look
from linnet.explain.scores import readable
from linnet.report.calibration_section import Calibrated, calibrated
from linnet.report.chart import Chart
from linnet.report.comparison import Line, compare, grouped, headline_lines
from linnet.report.confusion import Confusions, confusions
from linnet.report.data_summary import DataSummary, summarise
from linnet.report.discovery_section import Discovered, assign, discovered
from linnet.report.gallery import Gallery, drawn_queries, gallery
from linnet.report.page import MOST_BYTES, write_page
from linnet.report.plane import Map, embedding_map
from linnet.report.probe import Probe, image_name, images_of, probe
from linnet.report.series import Collection, Series, gather
from linnet.report.settings import Environment, Setting, environments, settings_of
from linnet.report.training_charts import training_charts
from linnet.report.words import learned_from, never_seen, part_played
from linnet.training.run import Run

__all__ = ["IMAGES", "Chapter", "Seen", "report_page"]

IMAGES = 10_000
"""Images of a split that are looked at one by one, at most."""

_MOST_SEEN = 4
_MOST_SEEN_IN_ALL = 8
"""Series of a collection, and of the whole page, that are looked at image by image: what follows is most of a page."""

_LOOKED_AT = 4

_SECTIONS = (
    ("results", "All figures"),
    ("data", "Data"),
    ("confusion", "What is taken for what"),
    ("nearest", "Nearest images"),
    ("looks", "Where it looks"),
    ("map", "Map of the embedding"),
    ("trust", "Calibration"),
    ("discovery", "Discovery"),
    ("training", "Training"),
    ("recipe", "Recipe and machine"),
)


@dataclass(frozen=True)
class Seen:
    """What the first run of a series makes of single images.

    Attributes:
        series: whose.
        images: how many were looked at; `whole` whether that is the split.
        confusions, gallery, plane, view, trust: the sections; None where there is nothing to show.
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
    trust: Calibrated | None


@dataclass(frozen=True)
class Chapter:
    """One collection with all its sections; `part` is what its images had to do with training."""

    collection: Collection
    part: str
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
    discoveries: tuple[Discovered, ...]

    @property
    def sections(self) -> list[tuple[str, str]]:
        """Key and title of the sections that are there, in order."""
        there = {
            "confusion": bool(self.seen),
            "trust": any(each.trust for each in self.seen),
            "discovery": bool(self.discoveries),
        }
        there |= dict.fromkeys(("nearest", "looks", "map"), bool(self.seen))
        return [(key, title) for key, title in _SECTIONS if there.get(key, True)]


def report_page(
    runs: Sequence[Run],
    target: Path | str,
    *,
    split: str | None = None,
    images: int = IMAGES,
    discoveries: Sequence[Path] = (),
    data: str | None = None,
    most: int = MOST_BYTES,
    say: Callable[[str], None] = lambda _: None,
) -> int:
    """Write the report on runs.

    Figures are those of `Run.evaluate`: read where it has left them, else measured and left there. What is shown of
    single images (confusions, neighbours, maps) comes from one more pass over at most `images` of the split's images,
    for the first run of each of the first four series of a collection, and of no more than eight on the page.

    Args:
        runs: finished runs, of one collection or several.
        target: the file to write, .html.
        split: test (where there is one) or validation, when None.
        images: how many to look at one by one, at most.
        discoveries: folders of discoveries made with these runs' embeddings.
        data: the table or folder that the runs learned from, where it was moved; `Recipe.root` says the rest.
        most: bytes of the page; its pictures shrink to that.
        say: told what is being done.

    Returns:
        The page's size in bytes.

    Raises:
        RunError: a discovery of none of these runs, or the page would be larger than `most`; nothing is written.
        RunError, RecipeError, ImageError: as the runs' own functions.
    """
    found = assign(discoveries, runs)
    collections = gather(runs, split, say, data)
    chapters: list[Chapter] = []
    for each in collections:
        room = _MOST_SEEN_IN_ALL - sum(len(chapter.seen) for chapter in chapters)
        chapters.append(_chapter(each, images, min(_MOST_SEEN, room), found, say))
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


def _chapter(
    collection: Collection,
    images: int,
    room: int,
    found: Sequence[tuple[Path, Discovery, Run]],
    say: Callable[[str], None],
) -> Chapter:
    """A collection's sections, of `room` series image by image, with the discoveries of its own runs."""
    lines = compare(collection)
    series = collection.series
    marks = [mark for each in series for run in each.runs for mark in _marks(each, run.evaluation.marks, series)]
    seen = [_seen(each, images, say) for each in series[:room]]
    return Chapter(
        collection,
        part_played(collection.split, series),
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
        tuple(each.name for each in series[room:]),
        tuple(_discoveries(collection, found, say)),
    )


def _discoveries(
    collection: Collection, found: Sequence[tuple[Path, Discovery, Run]], say: Callable[[str], None]
) -> Iterator[Discovered]:
    own = [measured for series in collection.series for measured in series.runs]
    for folder, discovery, run in found:
        for measured in (each for each in own if each.run is run):
            say(f"{measured.name}: what was discovered, {folder}")
            yield discovered(folder, discovery, measured)


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
        calibrated(probed),
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
