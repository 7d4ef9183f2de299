"""Choose one setting on the validation split: train once for each value, and rank by what the method may look at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr

from linnet import files
from linnet.errors import RecipeError
from linnet.manifest import Manifest
from linnet.metrics.signals import reidentification
from linnet.recipes import Recipe, resolve
from linnet.training.api import train
from linnet.training.device import find_place
from linnet.training.run import Run
from linnet.training.source import open_source

__all__ = ["FINE", "SIGNALS", "Sweep", "Trial", "sweep"]

SIGNALS = ("coarse_top1", "coarse_recall@1", "effective_rank", "reidentification")
"""Validation figures that need no fine label, and whose correlation with fine recall a sweep reports."""

FINE = ("fine_recall@1", "fine_recall@1_within", "fine_top1_restricted")
"""Validation figures of fine classes that a sweep shows beside the signals, where labels are known; none chooses."""


@dataclass(frozen=True)
class Trial:
    """One value: its run folder, and figures on the validation split."""

    value: Any
    folder: str
    figures: dict[str, float]


@dataclass(frozen=True)
class Sweep:
    """What a sweep found.

    Attributes:
        key: the setting.
        best: the value with the highest `chosen_by`, the method's own selection metric.
        largest: the largest value whose `chosen_by` is within two standard errors of the best one's. For the weight
            of a loss that has no metric of its own, such as CoIns's lambda: as much of it as coarse accuracy bears.
        correlations: Spearman's rank correlation over the trials between each signal and each fine figure, where
            fine validation labels are known; they had no part in the choice.
    """

    key: str
    trials: list[Trial]
    best: Any
    largest: Any
    chosen_by: str
    correlations: dict[str, dict[str, float]]


def sweep(
    recipe: Recipe,
    key: str,
    values: Sequence[Any],
    out: Path | str,
    manifest: Manifest | None = None,
    *,
    progress: bool | None = None,
) -> Sweep:
    """Train once for each value into `out/KEY=VALUE`, and write `out/sweep.json`; a broken sweep goes on where it was.

    Raises:
        RecipeError: the recipe keeps no validation split to choose on.
    """
    if recipe.select_on != "validation":
        raise RecipeError(f"select_on = {recipe.select_on!r}: a sweep chooses on the validation split")
    out = Path(out)
    chosen_by, trials = "", []
    for value in values:
        settings = resolve(None, {**recipe.model_dump(), "options": {**recipe.options}, key: value})
        folder = out / f"{key}={value}"
        run = train(settings, folder, manifest, resume=True, progress=progress)
        chosen_by = run.summary["chosen_by"]
        figures = run.evaluate("validation").figures
        trials.append(Trial(value, str(folder), {**figures, "reidentification": _reidentification(run)}))
    best = max(trials, key=lambda trial: trial.figures[chosen_by])
    images = len(run.load().rows["validation"])
    borne = [
        trial.value for trial in trials if _within_noise(trial.figures[chosen_by], best.figures[chosen_by], images)
    ]
    found = Sweep(key, trials, best.value, _largest(borne, best.value), chosen_by, _correlations(trials))
    files.write_json(out / "sweep.json", asdict(found))
    return found


def _within_noise(figure: float, best: float, images: int) -> bool:
    """Whether a share of `images`, in percent, lies within two standard errors of the best one."""
    share = best / 100
    return figure >= best - 200 * math.sqrt(share * (1 - share) / images)


def _largest(values: Sequence[Any], best: Any) -> Any:
    """The largest of numbers; of anything else, `best`."""
    return max(values) if all(isinstance(value, int | float) for value in values) else best


@torch.inference_mode()
def _reidentification(run: Run) -> float:
    """How often an augmented view of a validation image finds that image within its coarse class."""
    data, recipe = run.load(), run.recipe
    rows = data.rows["validation"]
    place = find_place(recipe.change(precision="fp32"))
    method = run.bundle.method.to(place.device)
    source = open_source(data, rows, run.bundle.preprocessing, recipe, place, augmented=True)
    order = np.arange(len(source))
    views = torch.cat([method.predict(b.images).embedding for b in source.epoch(0, order, recipe.batch_size)])
    plain = torch.cat([method.predict(b.images).embedding for b in source.sequential(recipe.batch_size)])
    source.close()
    coarse = torch.from_numpy(data.manifest.targets[rows, data.coarse])
    return reidentification(views.cpu(), plain.cpu(), coarse)


def _correlations(trials: Sequence[Trial]) -> dict[str, dict[str, float]]:
    """Needs three trials, and figures that differ over them."""
    columns = {name: [trial.figures[name] for trial in trials] for name in trials[0].figures}
    varied = {name: column for name, column in columns.items() if len(trials) > 2 and len(set(column)) > 1}
    fine = [name for name in FINE if name in varied]
    return {
        signal: {name: round(float(spearmanr(varied[signal], varied[name]).statistic), 3) for name in fine}
        for signal in SIGNALS
        if signal in varied and fine
    }
