"""Runs put together: those on one collection, and among these the seeds of one recipe."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import numpy as np

from linnet.datasets import DRAWN
from linnet.errors import DataError, ManifestError, RunError
from linnet.manifest_read import normal_split
from linnet.recipes import Recipe
from linnet.recipes.model import FREE, PROVENANCE
from linnet.report.labels import NAMES
from linnet.report.results import half_interval
from linnet.training.data import TrainingData
from linnet.training.run import Evaluation, Run

__all__ = ["MOST_RUNS", "Collection", "Measured", "Series", "gather", "measured_split"]

MOST_RUNS = 24
"""Runs on one page."""

_MOVED = (
    "Where they were moved, say so: --root FOLDER (of a known data set, or what the image paths of a table are "
    "relative to), --data PATH (the table or the folder of images itself)"
)


@dataclass(frozen=True)
class Measured:
    """A run, what to call it, its data, and its figures on the split that is reported."""

    run: Run
    name: str
    data: TrainingData
    evaluation: Evaluation


@dataclass(frozen=True)
class Series:
    """Runs that differ in their seed, or in nothing that decides a figure but it.

    Attributes:
        number: 0, 1, ... within its collection: its colour.
        name: what to call it.
        runs: one or more.
    """

    number: int
    name: str
    runs: tuple[Measured, ...]

    @property
    def first(self) -> Measured:
        """The run that pictures are of."""
        return self.runs[0]

    @property
    def recipe(self) -> Recipe:
        """The settings, of the first run."""
        return self.first.run.recipe

    @property
    def title(self) -> str:
        """What a paper's table calls the method; '' where that is no other name."""
        row = self.recipe.row or self.recipe.method
        title = NAMES.get(row) or NAMES.get(row.partition("[")[0], "")
        return "" if title.lower().replace(" ", "-") == self.recipe.method else title

    def values(self, metric: str) -> list[float]:
        """A metric's figure of each run that has it."""
        return [each.evaluation.figures[metric] for each in self.runs if metric in each.evaluation.figures]

    def mean(self, metric: str) -> float | None:
        """Its mean; None where no run has it."""
        values = self.values(metric)
        return float(np.mean(values)) if values else None

    def half(self, metric: str) -> float | None:
        """Half the 95 % t-interval of the mean; None with fewer than two runs."""
        return half_interval(self.values(metric))

    def floor(self, metric: str) -> float | None:
        """What chance scores, mean over the runs."""
        floors = [each.evaluation.floors[metric] for each in self.runs if metric in each.evaluation.floors]
        return float(np.mean(floors)) if floors else None


@dataclass(frozen=True)
class Collection:
    """Series measured on the same labelled images.

    Attributes:
        title: the data set's name.
        split: which images were measured.
        series: in the order the runs were given.
    """

    title: str
    split: str
    series: tuple[Series, ...]

    @property
    def data(self) -> TrainingData:
        """The data of the first run."""
        return self.series[0].first.data

    @property
    def seeds(self) -> bool:
        """Whether a series has several runs."""
        return any(len(each.runs) > 1 for each in self.series)


def measured_split(data: TrainingData, split: str | None) -> str:
    """The split to report: that asked for, else test where it has images, else validation."""
    return normal_split(split) if split else ("test" if len(data.rows.get("test", ())) else "validation")


def gather(
    runs: Sequence[Run], split: str | None, say: Callable[[str], None], data: str | None = None
) -> list[Collection]:
    """Measure runs, or read the figures that `linnet evaluate` left with them, and put together what belongs together.

    Args:
        data: the table or folder that the runs learned from, where it lies now; None looks where it was.

    Raises:
        RunError: more runs than a page takes, or one of them twice; or a run's data is not there, or another.
        RecipeError: a run's data has no such split.
    """
    if len(runs) > MOST_RUNS:
        raise RunError(f"{len(runs)} runs; a page takes {MOST_RUNS}: name fewer, or write several pages")
    names = _names([run.folder for run in runs])
    together: dict[str, list[Measured]] = {}
    for run, name in zip(runs, names, strict=True):
        loaded = _loaded(run, data)
        wanted = measured_split(loaded, split)
        evaluation = run.evaluated(wanted)
        if evaluation is None:
            say(f"measuring {name} on the split {wanted}")
            evaluation = run.evaluate(wanted)
        else:
            say(f"{name}: figures of the split {wanted} read from {run.folder}")
        together.setdefault(_key(loaded, run.recipe, wanted), []).append(Measured(run, name, loaded, evaluation))
    return [_collection(each) for each in together.values()]


def _loaded(run: Run, data: str | None) -> TrainingData:
    """A run's data, from where it is said to lie now.

    Raises:
        RunError: it is not there, or another than the run learned from.
    """
    try:
        loaded = run.load(source=data)
    except (DataError, ManifestError) as error:
        raise RunError(f"{run.folder}: the images that it learned from cannot be read: {error}\n{_MOVED}") from None
    manifest = loaded.manifest
    if manifest.pixels is None and not (first := manifest.path(0)).exists():  # before minutes of work
        raise RunError(f"{run.folder}: the images that it learned from are not there, {first} for one\n{_MOVED}")
    return loaded


def _names(folders: Sequence[Path]) -> list[str]:
    """Names that tell folders apart, as short as they can be."""
    whole = [folder.resolve() for folder in folders]
    if len(set(whole)) < len(whole):
        twice = next(folder for folder in folders if whole.count(folder.resolve()) > 1)
        raise RunError(f"{twice} is named twice; a run counts once")
    short = [folder.name for folder in whole]
    if len(set(short)) == len(short):
        return short
    shared = os.path.commonpath([str(folder) for folder in whole])
    return [str(folder.relative_to(shared)) for folder in whole]


def _key(data: TrainingData, recipe: Recipe, split: str) -> str:
    """The same for runs whose figures may stand side by side: the same images measured, with the same labels."""
    taxonomy = data.manifest.taxonomy
    said = hashlib.sha256(f"{taxonomy.fingerprint}|{split}|{data.coarse}|{data.fine}".encode())
    if recipe.data in DRAWN:  # each seed draws its own split, and seeds average over splits
        said.update(recipe.data.encode())
        return said.hexdigest()
    rows = data.rows[split] if split in data.rows else np.empty(0, np.int64)
    said.update("\n".join(data.manifest.images.take(rows).to_pylist()).encode())
    said.update(np.ascontiguousarray(data.manifest.targets[rows]).tobytes())
    return said.hexdigest()


def _collection(runs: list[Measured]) -> Collection:
    """The series of one collection: a seed that comes again starts another, for it is no new draw."""
    groups: list[list[Measured]] = []
    for each in runs:
        for group in groups:
            seeds = {other.run.recipe.seed for other in group}
            if _alike(group[0].run.recipe, each.run.recipe) and each.run.recipe.seed not in seeds:
                group.append(each)
                break
        else:
            groups.append([each])
    first = runs[0]
    title = first.run.recipe.dataset or Path(first.run.recipe.data).name or first.data.manifest.source
    named = [_series_name(group) for group in groups]
    named = [name if named.count(name) == 1 else group[0].name for name, group in zip(named, groups, strict=True)]
    series = tuple(Series(n, name, tuple(group)) for n, (name, group) in enumerate(zip(named, groups, strict=True)))
    return Collection(title, first.evaluation.split, series)


def _alike(one: Recipe, other: Recipe) -> bool:
    skipped = {*FREE, *PROVENANCE}
    return one.model_dump(exclude=skipped) == other.model_dump(exclude=skipped)


def _series_name(group: Sequence[Measured]) -> str:
    """The folder's name; of several, what their names begin with alike."""
    if len(group) == 1:
        return group[0].name
    alike = takewhile(lambda letters: len(set(letters)) == 1, zip(*(each.name for each in group), strict=False))
    shared = "".join(letters[0] for letters in alike).rstrip("-_.0123456789 /")
    shared = shared.removesuffix("seed").rstrip("-_. ")
    return shared or group[0].run.recipe.row or group[0].run.recipe.method
