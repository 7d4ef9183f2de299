"""Temperature scaling (Guo et al. 2017) and the calibration error that it is to lower."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["BINS", "BOUNDS", "bin_of", "expected_calibration_error", "fit_temperature", "likelihood"]

BOUNDS = (0.02, 50.0)
"""Least and greatest temperature: where every validation image is right the best one would be 0."""

BINS = 15
"""Bins of the calibration error: as many as Guo et al. take."""

_GOLDEN = (math.sqrt(5) - 1) / 2


def likelihood(scores: Tensor, labels: Tensor, among: Tensor, temperature: float) -> float:
    """The mean negative log-likelihood of labels (n,) under softmax of scores (n, classes) over a temperature.

    `among`: bool (classes, classes), the classes that share each label's softmax.
    """
    return _mean_loss(*_centred(scores, labels, among), temperature)


def fit_temperature(scores: Tensor, labels: Tensor, among: Tensor, tolerance: float = 1e-6) -> float:
    """The temperature that makes `likelihood` least: golden section over its logarithm, in float64.

    The loss is convex in 1 / T, so it has one valley over log T. Where no label has a rival, or all scores are equal,
    every temperature is as good, and 1 is returned.
    """
    others, own = _centred(scores, labels, among)
    if not bool(((others - own[:, None]).nan_to_num(neginf=0.0) != 0).any()):
        return 1.0
    low, high = (math.log(bound) for bound in BOUNDS)
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = (_mean_loss(others, own, math.exp(each)) for each in (left, right))
    while high - low > tolerance:
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - _GOLDEN * (high - low)
            at_left = _mean_loss(others, own, math.exp(left))
        else:
            low, left, at_left = left, right, at_right
            right = low + _GOLDEN * (high - low)
            at_right = _mean_loss(others, own, math.exp(right))
    # The middle of what is left may be a rounding worse than no scaling at all, and never is a bound itself.
    return min((1.0, math.exp((low + high) / 2), *BOUNDS), key=lambda each: _mean_loss(others, own, each))


def _centred(scores: Tensor, labels: Tensor, among: Tensor) -> tuple[Tensor, Tensor]:
    """The scores (n, most) of each label's rivals and itself, -inf where there are fewer, and its own (n,)."""
    sharing = among[labels]
    most = int(sharing.sum(1).max())
    places = sharing.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :most]
    others = scores.gather(1, places).masked_fill(~sharing.gather(1, places), -torch.inf)
    return others, scores.gather(1, labels[:, None])[:, 0]


def _mean_loss(others: Tensor, own: Tensor, temperature: float) -> float:
    return float((torch.logsumexp(others / temperature, 1) - own / temperature).mean())


def bin_of(probability: Tensor, bins: int = BINS) -> Tensor:
    """The bin of each probability (n,), int64, of `bins` equally wide ones; 1 falls into the last."""
    return (probability * bins).long().clamp_(max=bins - 1)


def expected_calibration_error(probability: Tensor, right: Tensor, bins: int = BINS) -> float:
    """How far probabilities (n,) are from the share that is right (bool, n), in percent.

    The mean over `bins` equally wide bins of |share right - mean probability|, weighted by their images (Naeini et
    al. 2015).
    """
    gaps = right.double() - probability.double()
    gap = torch.zeros(bins, dtype=torch.float64).index_add_(0, bin_of(probability, bins), gaps)
    return 100 * float(gap.abs().sum()) / max(1, len(probability))
