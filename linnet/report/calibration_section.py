"""How far a run's probabilities can be trusted: as its calibration says, and on images that it was not fitted on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from linnet.explain.scores import Levels
from linnet.methods.base import Prediction
from linnet.predict.calibration import FILE, Calibration, LevelCalibration, read_calibration
from linnet.predict.coverage import THRESHOLDS, Coverage, Signals, risk_coverage
from linnet.predict.temperature import BINS, bin_of, expected_calibration_error
from linnet.predict.tree import Tree
from linnet.report.chart import Axes, Chart, Curve, chart
from linnet.report.probe import Probe

__all__ = ["Calibrated", "Judged", "LevelTrust", "calibrated", "reliability", "selective_risk"]

_LEAST_IN_BIN = 10
"""Bins with fewer images are not drawn: their share right would be luck."""

_BLOCK = 2048
_RISK_POINTS = 100
_MOST_LEVELS = 6


@dataclass(frozen=True, eq=False)
class Judged:
    """What was said of images at all levels: of which split, and with which temperatures ("raw" or "calibrated")."""

    split: str
    kind: str
    signals: Signals

    def level(self, number: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Of the images whose label is known: the probability of the class named, (n,), and whether it is right."""
        known = self.signals.right[:, number] >= 0
        return self.signals.probability[known, number], self.signals.right[known, number] == 1


@dataclass(frozen=True)
class LevelTrust:
    """One level.

    Attributes:
        fit: its temperature, and the fit before and after, on the validation images.
        held: images that it was not fitted on, and their calibration error before and after, percent; None without.
        reliability, risk: charts; None where too few images are labelled.
    """

    fit: LevelCalibration
    held: tuple[int, float, float] | None
    reliability: Chart | None
    risk: Chart | None


@dataclass(frozen=True)
class Calibrated:
    """The section of one run.

    Attributes:
        images: validation images of the calibration.
        held: the split of the images that it was not fitted on; "" where there are none. `held_images` how many.
        why_not: why there are none.
        levels: coarsest first.
        backing: what backing off does at several probabilities, on the validation images and on the held ones.
    """

    images: int
    held: str
    held_images: int
    why_not: str
    levels: tuple[LevelTrust, ...]
    backing: tuple[tuple[Coverage, Coverage | None], ...]


def calibrated(probe: Probe) -> Calibrated | None:
    """The section of a probe's run; None where `linnet predict` has left no calibration of its weights.

    Raises:
        RunError: the calibration is damaged.
    """
    run = probe.measured.run
    found = read_calibration(run.folder / FILE, run.bundle.card["weights_sha256"])
    if found is None or not found.levels:
        return None
    split, why = probe.measured.evaluation.split, ""
    if split == "validation":
        why = "this page is of the split that it was fitted on"
    elif run.recipe.test_views > 1:
        why = (
            f"this page's answers are means over {run.recipe.test_views} views of each image, those of predict are not"
        )
    judged = [Judged("validation", "calibrated", found.signals)]
    judged += [] if why else _held(probe, found, split)
    levels = [_level(found, judged, number) for number in range(min(_MOST_LEVELS, len(found.levels)))]
    sure = [each.calibrated for each in found.levels]
    backing = [risk_coverage(each.signals, sure, THRESHOLDS) for each in judged if each.kind == "calibrated"]
    beside: list[Coverage | None] = [*backing[1]] if len(backing) > 1 else [None] * len(THRESHOLDS)
    images = len(found.signals.right)
    pairs = tuple(zip(backing[0], beside, strict=True))
    return Calibrated(images, "" if why else split, 0 if why else len(probe.rows), why, tuple(levels), pairs)


def _held(probe: Probe, found: Calibration, split: str) -> list[Judged]:
    """The probe's images at temperature 1 and at the fitted ones, block by block: there may be very many classes."""
    bundle, said = probe.measured.run.bundle, probe.said
    tree = Tree(Levels.of(bundle))
    targets = torch.from_numpy(probe.data.manifest.targets[probe.rows])
    kinds = {"raw": [1.0] * len(found.levels), "calibrated": found.temperatures}
    parts: dict[str, list[Signals]] = {kind: [] for kind in kinds}
    for start in range(0, len(probe.rows), _BLOCK):
        rows = slice(start, start + _BLOCK)
        logits = (None if each is None else each[rows] for each in (said.coarse_logits, said.fine_logits))
        scores = tree.scores(Prediction(said.embedding[rows], *logits))
        for kind, temperatures in kinds.items():
            parts[kind].append(Signals.of(tree.probabilities(scores, temperatures), targets[rows]))
    return [Judged(split, kind, _joined(each)) for kind, each in parts.items()]


def _joined(parts: Sequence[Signals]) -> Signals:
    return Signals(np.concatenate([each.probability for each in parts]), np.concatenate([each.right for each in parts]))


def _level(found: Calibration, judged: Sequence[Judged], number: int) -> LevelTrust:
    fit = found.levels[number]
    there = [(each, *each.level(number)) for each in judged]
    held = None
    if len(there) == 3 and len(there[1][1]):
        held = (len(there[1][1]), _error(*there[1][1:]), _error(*there[2][1:]))
    return LevelTrust(fit, held, _reliability_chart(fit.level, there), _risk_chart(fit.level, there))


def _error(probability: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    return expected_calibration_error(torch.from_numpy(probability), torch.from_numpy(right))


_Level = tuple[Judged, NDArray[np.float64], NDArray[np.bool_]]


def _curve(each: Judged, points: Sequence[tuple[float, float]]) -> Curve:
    """A curve whose colour tells the split, and whose dashes tell raw from calibrated."""
    validation, raw = each.split == "validation", each.kind == "raw"
    name = f"{each.split}, {each.kind}"
    return Curve(name, 1 if validation else 7 if raw else 0, tuple(points), style=1 if validation else 2 if raw else 0)


def _reliability_chart(level: str, there: Sequence[_Level]) -> Chart | None:
    curves = [_curve(each, reliability(probability, right)) for each, probability, right in there]
    if not any(each.points for each in curves):
        return None
    _, probability, _ = there[-1]
    counts = np.bincount(_bin(probability), minlength=BINS)
    width, most = 100 / BINS, 4 * max(1, int(counts.max()))
    bars = tuple((width * place, width * (place + 1), count / most) for place, count in enumerate(counts.tolist()))
    axes = Axes("probability of the class named, %", False, (0, 100), (0, 100), True, bars)
    return chart(f"{level}: how often it is right", "% of the images", curves, axes=axes)


def _risk_chart(level: str, there: Sequence[_Level]) -> Chart | None:
    curves = [_curve(each, selective_risk(sure, right)) for each, sure, right in there if each.kind == "calibrated"]
    if not any(each.points for each in curves):
        return None
    most = max(wrong for each in curves for _, wrong in each.points)
    axes = Axes("% of the images answered, the surest first", False, (0, 100), (0, 10 * max(1, math.ceil(most / 10))))
    return chart(f"{level}: wrong answers", "% of the answers", curves, axes=axes)


def _bin(probability: NDArray[np.float64]) -> NDArray[np.int64]:
    """The bins of the calibration error, so that the chart shows what the figure counts."""
    places: NDArray[np.int64] = bin_of(torch.from_numpy(probability)).numpy()
    return places


def reliability(
    probability: NDArray[np.float64], right: NDArray[np.bool_], least: int = _LEAST_IN_BIN
) -> list[tuple[float, float]]:
    """Mean probability and share right, percent, of every bin with at least `least` images."""
    place = _bin(probability)
    counts = np.bincount(place, minlength=BINS)
    sums = [np.bincount(place, each, BINS) for each in (probability, right.astype(np.float64))]
    drawn = np.flatnonzero(counts >= least)
    mean, share = (100 * each[drawn] / counts[drawn] for each in sums)
    return [(float(x), float(y)) for x, y in zip(mean, share, strict=True)]


def selective_risk(probability: NDArray[np.float64], right: NDArray[np.bool_]) -> list[tuple[float, float]]:
    """Percent answered and percent of these wrong, for ever lower probabilities; from 10 images on.

    Images of one probability are answered together, whatever their order.
    """
    order = np.argsort(-probability, kind="stable")
    wrong = np.cumsum(~right[order])
    count = np.arange(1, len(order) + 1)
    last = np.append(probability[order][1:] != probability[order][:-1], True) if len(order) else np.empty(0, np.bool_)
    kept = np.flatnonzero(last & (count >= min(_LEAST_IN_BIN, len(order))))
    if len(kept) > _RISK_POINTS:
        kept = kept[np.unique(np.linspace(0, len(kept) - 1, _RISK_POINTS).round().astype(np.int64))]
    return [(100 * float(count[k]) / len(order), 100 * float(wrong[k]) / float(count[k])) for k in kept]
