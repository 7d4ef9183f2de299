"""The look-up of near codes against comparing each with each."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linnet.doctor.near import TooManyError, near_pairs
from linnet.randomness import generator


def found(codes: np.ndarray, radius: int, bands: int) -> list[tuple[int, int, int]]:
    pairs = [
        (int(one), int(other), int(distance))
        for part in near_pairs(codes, radius, bands)
        for one, other, distance in zip(part.ones, part.others, part.distances, strict=True)
    ]
    assert len({pair[:2] for pair in pairs}) == len(pairs), "a pair is told once"
    return sorted(pairs)


def brute(codes: np.ndarray, radius: int) -> list[tuple[int, int, int]]:
    distances = np.bitwise_count(codes[:, None] ^ codes[None, :])
    ones, others = np.nonzero(np.triu(distances <= radius, 1))
    return [(int(i), int(j), int(distances[i, j])) for i, j in zip(ones, others, strict=True)]


@settings(max_examples=40)
@given(st.integers(0, 2**31), st.integers(0, 60), st.integers(0, 8), st.integers(3, 6), st.integers(0, 12))
def test_all_pairs_and_no_others(seed: int, count: int, radius: int, bands: int, flips: int) -> None:
    draw = generator(seed, "near codes")
    centres = draw.integers(0, 1 << 63, 5, dtype=np.uint64)
    codes = centres[draw.integers(0, 5, count)]
    for _ in range(flips):
        codes = codes ^ (np.uint64(1) << draw.integers(0, 64, count, dtype=np.uint64))
    assert found(codes, radius, bands) == brute(codes, radius)


def test_many_codes_in_small_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = generator(1, "near codes").integers(0, 1 << 63, 3000, dtype=np.uint64)
    codes[1000:1400] = codes[:400] ^ np.uint64(0b1011 << 30)
    codes[2000:2100] = codes[0]
    monkeypatch.setattr("linnet.doctor.near._CHUNK", 97)
    assert found(codes, 8, 3) == brute(codes, 8)


def test_a_radius_too_wide_for_the_bands_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 3 bits"):
        list(near_pairs(np.zeros(2, np.uint64), 12, 3))


def test_too_many_are_refused() -> None:
    with pytest.raises(TooManyError):
        list(near_pairs(np.zeros(200, np.uint64), 4, most=1000))
