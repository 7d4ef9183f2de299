"""The fitted temperature against a grid, and against scores whose temperature is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from linnet.predict.calibration import LEAST_IMAGES, fit
from linnet.predict.temperature import BOUNDS, expected_calibration_error, fit_temperature, likelihood
from linnet.randomness import generator
from tests.predict.test_tree import THREE, tree

ALL = torch.ones(4, 4, dtype=torch.bool)


def drawn(count: int, heat: float, seed: int, classes: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores, and labels drawn from their softmax at a temperature."""
    rng = generator(seed, "test")
    scores = torch.from_numpy(rng.normal(0, 3, (count, classes)))
    chances = torch.softmax(scores / heat, 1).numpy()
    labels = [int(rng.choice(classes, p=row)) for row in chances]
    return scores, torch.tensor(labels)


@settings(max_examples=30)
@given(st.integers(0, 50), st.floats(0.2, 8))
def test_it_is_the_best_of_a_grid(seed: int, heat: float) -> None:
    scores, labels = drawn(60, heat, seed)
    found = fit_temperature(scores, labels, ALL)
    least = likelihood(scores, labels, ALL, found)
    for other in np.geomspace(*BOUNDS, 60):
        assert least <= likelihood(scores, labels, ALL, float(other)) + 1e-9
    assert least <= likelihood(scores, labels, ALL, 1.0), "never worse than no scaling"


@pytest.mark.parametrize("heat", [0.5, 2.0, 5.0])
def test_it_finds_the_temperature_that_labels_were_drawn_at(heat: float) -> None:
    scores, labels = drawn(4000, heat, 3)
    assert fit_temperature(scores, labels, ALL) == pytest.approx(heat, rel=0.12)


def test_only_rivals_count() -> None:
    """Under softmax among siblings, what other classes score has no say."""
    among = torch.block_diag(torch.ones(2, 2), torch.ones(2, 2)).bool()
    scores, labels = drawn(200, 2.0, 1)
    strange = scores.clone()
    strange[labels < 2, 2:] = 100
    strange[labels >= 2, :2] = -100
    assert fit_temperature(scores, labels, among) == fit_temperature(strange, labels, among)
    by_hand = [
        -float(torch.log_softmax(row[:2] / 2 if label < 2 else row[2:] / 2, 0)[label % 2])
        for row, label in zip(scores, labels.tolist(), strict=True)
    ]
    assert likelihood(scores, labels, among, 2.0) == pytest.approx(np.mean(by_hand))


def test_nothing_to_learn_leaves_it_at_one() -> None:
    labels = torch.tensor([0, 1, 2])
    assert fit_temperature(torch.zeros(3, 4), labels, ALL) == 1.0
    assert fit_temperature(torch.arange(12.0).reshape(3, 4).sin(), labels, torch.eye(4) > 0) == 1


def test_separable_scores_stop_at_the_bound() -> None:
    found = fit_temperature(10 * torch.eye(4, dtype=torch.float64), torch.arange(4), ALL)
    assert found <= 1.0 and likelihood(10 * torch.eye(4).double(), torch.arange(4), ALL, found) < 1e-3


def test_calibration_error_by_hand() -> None:
    """Two bins of 15: 0.95 twice with one right, 0.5 twice with two right."""
    chance, right = torch.tensor([0.95, 0.95, 0.5, 0.5]), torch.tensor([True, False, True, True])
    assert expected_calibration_error(chance, right) == pytest.approx(100 * (0.5 * 0.45 + 0.5 * 0.5), rel=1e-6)
    assert expected_calibration_error(torch.tensor([1.0]), torch.tensor([True])) == 0.0


@given(st.integers(0, 30))
def test_calibration_lowers_the_loss_of_its_own_images(seed: int) -> None:
    """At the finest level, whose loss is the sum of what each temperature was fitted on, and at the coarsest."""
    rng = generator(seed, "test")
    asked = tree(THREE, 1, 2)
    scores = [torch.from_numpy(rng.normal(0, 4, (40, count))) for count in (2, 3, 5)]
    fine = rng.integers(0, 5, 40)
    targets = torch.from_numpy(np.stack([THREE.ancestor(2, level)[fine] for level in range(3)], 1))
    found = fit(asked, scores, targets, "sha", 2)
    for each in (found.levels[0], found.levels[2]):
        assert each.loss is not None and each.loss_before is not None
        assert each.loss <= each.loss_before + 1e-9
    joint = sum(
        likelihood(scores[level], targets[:, level], asked.siblings(level), found.levels[level].temperature)
        for level in range(3)
    )
    assert math.isclose(found.levels[2].loss or 0, joint, rel_tol=1e-9)


def test_a_level_without_labels_is_uncalibrated() -> None:
    asked = tree(THREE, 1, 2)
    scores = [torch.zeros(LEAST_IMAGES, count, dtype=torch.float64) for count in (2, 3, 5)]
    targets = torch.zeros(LEAST_IMAGES, 3, dtype=torch.int64)
    targets[:, 2] = -1
    targets[0, 1] = -1
    found = fit(asked, scores, targets, "sha", 2).levels
    assert [each.calibrated for each in found] == [True, False, False]
    assert found[1].note == f"only {LEAST_IMAGES - 1} validation images have its label, {LEAST_IMAGES} are needed"
    assert found[2].note == "no validation image has its label" and found[2].temperature == 1.0
    assert found[2].loss is None and found[1].loss is not None


def test_labels_beyond_the_methods_own_are_told() -> None:
    scores, fine = drawn(60, 1.0, 0, 5)
    targets = torch.from_numpy(np.stack([THREE.ancestor(2, level)[fine.numpy()] for level in range(3)], 1))
    found = fit(tree(THREE, 1, 2), [scores[:, :2], scores[:, :3], scores], targets, "sha", 1).levels
    assert "did not learn from" in found[2].note and found[1].note == ""
