"""Splits drawn 3 : 2 in each class."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from linnet.datasets.drawn import draw_split


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.integers(0, 5))
def test_three_to_two_in_every_class_whatever_else_there_is(labels: list[int], seed: int) -> None:
    fine = np.array(labels)
    codes = draw_split(fine, "abcd", seed)
    for number in set(labels):
        own = codes[fine == number]
        assert (own == 0).sum() == round(0.6 * len(own))
        alone = draw_split(np.zeros(len(own), dtype=np.int64), ["abcd"[number]], seed)
        assert alone.tolist() == own.tolist()


def test_another_seed_is_another_split() -> None:
    fine = np.zeros(50, dtype=np.int64)
    assert draw_split(fine, "a", 0).tolist() == draw_split(fine, "a", 0).tolist()
    assert draw_split(fine, "a", 0).tolist() != draw_split(fine, "a", 1).tolist()
