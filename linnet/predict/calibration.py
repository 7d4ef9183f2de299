"""What a run's validation images say of its probabilities: a temperature for each level, kept beside the bundle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from linnet import files
from linnet.errors import RunError
from linnet.predict.coverage import Signals
from linnet.predict.temperature import BOUNDS, expected_calibration_error, fit_temperature
from linnet.predict.tree import Tree

__all__ = ["FILE", "FORMAT", "LEAST_IMAGES", "Calibration", "LevelCalibration", "fit", "read_calibration"]

FILE, FORMAT = "calibration.json", 1

LEAST_IMAGES = 20
"""A level with fewer labelled validation images keeps its raw probabilities: a temperature would be mostly noise."""


@dataclass(frozen=True)
class LevelCalibration:
    """One level's temperature, and the fit of its probabilities before (every temperature 1) and after.

    Attributes:
        images: validation images with a label of the level.
        loss_before, loss: mean negative log-likelihood, nats; None without images.
        error_before, error: expected calibration error, percent; None without images.
        note: what a reader must know; why it is not calibrated, say.
    """

    level: str
    temperature: float
    calibrated: bool
    images: int
    loss_before: float | None = None
    loss: float | None = None
    error_before: float | None = None
    error: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Calibration:
    """The temperatures of a bundle.

    Attributes:
        weights_sha256: the bundle's, which they hold for.
        levels: one for each level that the method names, coarsest first.
        signals: what was said of each validation image, for risk and coverage.
    """

    weights_sha256: str
    levels: tuple[LevelCalibration, ...]
    signals: Signals

    @property
    def temperatures(self) -> list[float]:
        """One for each level."""
        return [each.temperature for each in self.levels]

    def save(self, target: Path) -> None:
        """Write it as JSON."""
        content = {
            "format": FORMAT,
            "weights_sha256": self.weights_sha256,
            "split": "validation",
            "levels": [asdict(each) for each in self.levels],
            "validation": self.signals.to_json(),
        }
        files.write_json(target, content)


def read_calibration(source: Path, weights_sha256: str) -> Calibration | None:
    """The calibration that was saved, None where there is none or it belongs to other weights.

    Raises:
        RunError: the file is damaged or of a newer format.
    """
    if not source.exists():
        return None
    content: Any = files.read_json(source)
    given = content.get("format") if isinstance(content, dict) else None
    if given != FORMAT:
        raise RunError(f"{source}: format {given!r}, this Linnet reads format {FORMAT}; delete it to fit it anew")
    if content.get("weights_sha256") != weights_sha256:
        return None
    try:
        levels = tuple(LevelCalibration(**each) for each in content["levels"])
        if not all(BOUNDS[0] <= float(each.temperature) <= BOUNDS[1] for each in levels):
            raise ValueError("a temperature out of bounds")
        return Calibration(weights_sha256, levels, Signals.from_json(content["validation"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"{source}: damaged ({error!r}); delete it to fit it anew") from None


def fit(tree: Tree, scores: Sequence[Tensor], targets: Tensor, weights_sha256: str, trained: int) -> Calibration:
    """Temperatures from what a method says of validation images.

    Args:
        scores: as `Tree.scores` gives them, (n, classes) for each level.
        targets: int64 (n, L), -1 where unknown.
        trained: the finest level whose labels the method learned from.
    """
    temperatures, notes = [], []
    for level, each in enumerate(scores):
        rows = targets[:, level] >= 0
        enough = int(rows.sum()) >= LEAST_IMAGES
        # A label that its level's scores rule out (a class without a finer one) has no likelihood.
        possible = rows & torch.isfinite(each.gather(1, targets[:, level].clamp_min(0)[:, None])[:, 0])
        usable = enough and bool(possible.any())
        among = tree.siblings(level)
        temperatures.append(fit_temperature(each[possible], targets[possible, level], among) if usable else None)
        notes.append(_note(int(rows.sum()), temperatures[-1], level > trained))
    used = [temperature or 1.0 for temperature in temperatures]
    before, after = (tree.probabilities(scores, each) for each in ([1.0] * len(scores), used))
    levels = [
        _measured(
            tree.levels.taxonomy.levels[level], temperature, note, (before[level], after[level]), targets[:, level]
        )
        for level, (temperature, note) in enumerate(zip(temperatures, notes, strict=True))
    ]
    return Calibration(weights_sha256, tuple(levels), Signals.of(after, targets))


def _note(images: int, temperature: float | None, untrained: bool) -> str:
    if temperature is None:
        few = f"only {images} validation images have its label, {LEAST_IMAGES} are needed"
        return few if images else "no validation image has its label"
    if temperature > BOUNDS[1] / 1.01:
        return "its scores say no more than a guess does"
    if temperature < BOUNDS[0] * 1.01:
        return "every validation image is right: too few, or too easy, to tell how sure to be"
    return "fitted with validation labels of a level that the method did not learn from" if untrained else ""


def _measured(
    name: str, temperature: float | None, note: str, pair: tuple[Tensor, Tensor], labels: Tensor
) -> LevelCalibration:
    known = labels >= 0
    images, calibrated = int(known.sum()), temperature is not None
    if not images:
        return LevelCalibration(name, 1.0, calibrated, 0, note=note)
    losses, errors = [], []
    for each in pair:
        best, said = each[known].max(1)
        own = each[known].gather(1, labels[known][:, None])[:, 0]
        losses.append(float(-own.clamp_min(1e-300).log().mean()))
        errors.append(expected_calibration_error(best, said == labels[known]))
    return LevelCalibration(
        name, temperature or 1.0, calibrated, images, losses[0], losses[1], errors[0], errors[1], note
    )
