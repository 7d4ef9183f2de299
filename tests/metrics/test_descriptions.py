"""Descriptions of classes: how far siblings differ, against one pair at a time."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from linnet.metrics.descriptions import separation
from tests.reference import descriptions as literal

NUMBERS = st.sampled_from([-1.0, 0.0, 0.5, 2.0])


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Few different numbers, so that there are constant columns and classes that are described alike."""
    parent = draw(st.lists(st.integers(0, 3), min_size=1, max_size=8))
    width = draw(st.integers(1, 3))
    return draw(arrays(np.float32, (len(parent), width), elements=NUMBERS)), np.array(parent)


@given(cases())
def test_equal_to_one_pair_at_a_time(case: tuple[np.ndarray, np.ndarray]) -> None:
    table, parent = case
    found, rows, groups = separation(table, parent, 4), table.tolist(), parent.tolist()
    assert found.within == pytest.approx(literal.mean_cosine(rows, groups, siblings=True))
    assert found.between == pytest.approx(literal.mean_cosine(rows, groups, siblings=False))
    assert found.share_within == pytest.approx(literal.share_within(rows, groups))
    assert list(found.constant) == literal.constant(rows) and found.attributes == table.shape[1]
    assert [family.coarse for family in found.families] == [0, 1, 2, 3]
    centred = literal.centred(rows)
    for family in found.families:
        assert list(family.children) == [f for f, group in enumerate(groups) if group == family.coarse]
        cosines = {(f, g): literal.cosine(centred[f], centred[g]) for f, g in combinations(family.children, 2)}
        alike = {(f, g) for f, g in cosines if rows[f] == rows[g] or cosines[f, g] >= 0.95 - 1e-9}
        assert {pair[:2] for pair in family.alike} == alike
        assert (family.closest is None) == (family.cosine is None) == (not cosines)
        if cosines:
            assert family.cosine == pytest.approx(np.mean(list(cosines.values())))
            assert family.closest is not None
            assert family.closest[:2] in alike or family.closest[2] == pytest.approx(max(cosines.values()))


def test_siblings_that_nothing_tells_apart_come_first() -> None:
    """Two that are the same, at the mean of all (their cosine is 0), before two that are merely close."""
    table = np.array([[0, 0], [0, 0], [3, 1], [3, 1.01], [-3, -1.005], [-3, -1.005]], dtype=np.float32)
    family = separation(table, np.zeros(6, dtype=np.int64), 1).families[0]
    assert [pair[:2] for pair in family.alike] == [(4, 5), (0, 1), (2, 3)]
    assert family.closest == family.alike[0]


def test_shapes_that_do_not_fit() -> None:
    for table, parent in ((np.zeros((2, 1)), np.zeros(3)), (np.zeros(2), np.zeros(2)), (np.zeros((0, 1)), np.zeros(0))):
        with pytest.raises(ValueError, match=r"need \(F, A\) and \(F,\)"):
            separation(table.astype(np.float32), parent.astype(np.int64), 1)
