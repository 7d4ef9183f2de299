"""Backing off: monotone, the same as a literal count, and by calibrated levels alone where there are any."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from linnet.predict.answers import Answered, LevelAnswer
from linnet.predict.coverage import Signals, risk_coverage
from linnet.randomness import generator


def answered(probabilities: list[float], calibrated: list[bool]) -> Answered:
    levels = [
        LevelAnswer(f"level {number}", f"class {number}", value, ((f"class {number}", value),), sure)
        for number, (value, sure) in enumerate(zip(probabilities, calibrated, strict=True))
    ]
    return Answered(np.zeros(2, np.float32), tuple(levels))


chances = st.lists(st.floats(0, 1), min_size=3, max_size=3).map(lambda each: sorted(each, reverse=True))


@given(chances, st.lists(st.booleans(), min_size=3, max_size=3), st.floats(0, 1), st.floats(0, 1))
def test_asking_for_more_never_gives_a_finer_answer(
    numbers: list[float], sure: list[bool], one: float, other: float
) -> None:
    said = answered(numbers, sure)
    low, high = (said.backoff(least) for least in sorted((one, other)))
    if high is not None:
        assert low is not None and said.levels.index(low) >= said.levels.index(high)
        assert high.probability >= max(one, other)
        assert high.calibrated or not any(sure)


def test_the_finest_that_reaches() -> None:
    said = answered([0.9, 0.7, 0.4], [True] * 3)
    assert [said.backoff(least) for least in (0.3, 0.4, 0.7, 0.8, 0.95)] == [
        *(said.levels[2], said.levels[2], said.levels[1], said.levels[0], None)
    ]
    assert answered([0.9, 0.7, 0.4], [True, False, False]).backoff(0.3) == said.levels[0]


@given(st.integers(0, 100), st.floats(0, 1), st.sampled_from([(True, True), (True, False), (False, False)]))
def test_the_table_counts_what_backing_off_answers(seed: int, least: float, sure: tuple[bool, bool]) -> None:
    rng = generator(seed, "test")
    probability = -np.sort(-rng.random((30, 2)), axis=1)
    right = rng.integers(-1, 2, (30, 2)).astype(np.int8)
    (found,) = risk_coverage(Signals(probability, right), sure, [least])
    shares, wrong, judged = [0, 0], 0, 0
    for row, rights in zip(probability, right, strict=True):
        said = answered(row.tolist(), list(sure))
        answer = said.backoff(least)
        if answer is not None:
            level = said.levels.index(answer)
            shares[level] += 1
            judged += rights[level] >= 0
            wrong += rights[level] == 0
    np.testing.assert_allclose(found.shares, np.asarray(shares) / 30)
    np.testing.assert_allclose(found.coverage, sum(shares) / 30)
    assert found.risk == (wrong / judged if judged else None)


def test_signals_survive_json() -> None:
    signals = Signals(np.asarray([[0.5, 0.25], [1.0, 0.125]]), np.asarray([[1, -1], [0, 1]], np.int8))
    again = Signals.from_json(signals.to_json())
    np.testing.assert_array_equal(again.probability, signals.probability)
    np.testing.assert_array_equal(again.right, signals.right)
