"""Risk and coverage: how many images are answered, at which level, and how often wrongly, by the probability asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["THRESHOLDS", "Coverage", "Signals", "risk_coverage"]

THRESHOLDS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
"""Probabilities that the table shows, besides the one that was asked for."""


@dataclass(frozen=True, eq=False)
class Signals:
    """What was said of n validation images.

    Attributes:
        probability: float64 (n, levels), of the class named at each level.
        right: int8 (n, levels), 1 where that class is the label, 0 where not, -1 where the label is unknown.
    """

    probability: NDArray[np.float64]
    right: NDArray[np.int8]

    @classmethod
    def of(cls, probabilities: Sequence[Tensor], targets: Tensor) -> Signals:
        """Those of probabilities (n, classes) for each level and targets (n, L)."""
        best = [each.max(1) for each in probabilities]
        labels = [targets[:, level] for level in range(len(best))]
        right = [
            torch.where(label >= 0, (one.indices == label).to(torch.int8), -1)
            for one, label in zip(best, labels, strict=True)
        ]
        if not best:
            return cls(np.zeros((len(targets), 0)), np.zeros((len(targets), 0), np.int8))
        together = torch.stack([one.values for one in best], 1).numpy()
        return cls(together, torch.stack(right, 1).to(torch.int8).numpy())

    def to_json(self) -> dict[str, Any]:
        """As JSON types; probabilities to six digits."""
        return {"probability": self.probability.round(6).T.tolist(), "right": self.right.T.tolist()}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Signals:
        """The inverse.

        Raises:
            ValueError: the two do not fit.
        """
        probability = np.asarray(content["probability"], np.float64).T
        right = np.asarray(content["right"], np.int8).T
        if probability.shape != right.shape:
            raise ValueError(f"{probability.shape} probabilities and {right.shape} judgements")
        return cls(probability, right)


@dataclass(frozen=True)
class Coverage:
    """What backing off at one probability does.

    Attributes:
        least: the probability asked for.
        coverage: share of the images that get an answer, 0 to 1.
        risk: share of wrong ones among answers whose label is known; None where there is none.
        shares: share of all images answered at each level, coarsest first.
        risks: the risk of the answers at each level.
    """

    least: float
    coverage: float
    risk: float | None
    shares: tuple[float, ...]
    risks: tuple[float | None, ...]


def risk_coverage(signals: Signals, calibrated: Sequence[bool], least: Sequence[float]) -> list[Coverage]:
    """The effect of `Answered.backoff` on the validation images for each probability in `least`."""
    sure = np.asarray(calibrated, np.bool_)
    counting = sure if sure.any() else np.ones_like(sure)
    found = []
    for each in least:
        reaching = (signals.probability >= each) & counting
        # The finest that reaches: the first from the end.
        finest = np.where(reaching.any(1), reaching.shape[1] - 1 - reaching[:, ::-1].argmax(1), -1)
        at = [finest == level for level in range(len(sure))]
        judged = [signals.right[rows, level] for level, rows in enumerate(at)]
        found.append(
            Coverage(
                float(each),
                float((finest >= 0).mean()),
                _risk(np.concatenate(judged)),
                tuple(float(rows.mean()) for rows in at),
                tuple(_risk(rights) for rights in judged),
            )
        )
    return found


def _risk(right: NDArray[np.int8]) -> float | None:
    known = right[right >= 0]
    return float((known == 0).mean()) if len(known) else None
