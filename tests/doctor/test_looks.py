"""Codes and looks: copies are found, other pictures and even tones are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from linnet.doctor.duplicates import RADIUS
from linnet.doctor.looks import LOOK, alike, codes, flat, looks_of, small_of
from tests.doctor.planted import photo


def looks(*images: Image.Image) -> np.ndarray:
    return looks_of(np.stack([small_of(np.asarray(image.convert("RGB"))) for image in images]))


def same(one: np.ndarray, other: np.ndarray) -> bool:
    both = np.stack([one, other])
    found = codes(both, np.arange(2))
    near = np.bitwise_count(found[0] ^ found[1]) <= RADIUS
    return bool(near and alike(both, np.array([0]), np.array([1]))[0][0])


def test_copies_look_the_same(tmp_path: Path) -> None:
    image = photo(1)
    image.save(tmp_path / "a.jpg", quality=40)
    copies = looks(
        image.resize((61, 47)),
        Image.open(tmp_path / "a.jpg"),
        ImageEnhance.Brightness(image).enhance(1.08),
        ImageEnhance.Contrast(image).enhance(0.9),
    )
    assert all(same(looks(image)[0], copy) for copy in copies)


def test_other_pictures_do_not() -> None:
    drawn = looks(*(photo(number) for number in range(40)))
    assert not any(same(drawn[i], drawn[j]) for i in range(40) for j in range(i))
    image = photo(1)
    swapped = Image.merge("RGB", image.split()[::-1])
    assert not same(*looks(image, swapped)), "other colours"
    assert not same(*looks(image, image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)))


def test_even_tones_are_not_compared() -> None:
    drawn = looks(Image.new("RGB", (40, 40), "green"), photo(1))
    assert drawn.shape == (2, LOOK)
    assert flat(drawn, np.arange(2)).tolist() == [True, False]
    assert flat(drawn, np.array([1])).tolist() == [False]
    assert flat(drawn, np.arange(0)).shape == (0,) and codes(drawn, np.arange(0)).shape == (0,)


def test_working_in_blocks_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = looks(*(photo(number // 2).resize((90 + number, 70)) for number in range(14)))
    rows = np.arange(14)[::-1]
    ones, others = np.array([0, 2, 5, 9, 12]), np.array([1, 3, 6, 8, 13])
    whole = [flat(drawn, rows), codes(drawn, rows), *alike(drawn, ones, others)]
    monkeypatch.setattr("linnet.doctor.looks._BLOCK", 3)
    for given, found in zip(whole, [flat(drawn, rows), codes(drawn, rows), *alike(drawn, ones, others)], strict=True):
        np.testing.assert_array_equal(given, found)
    assert whole[2].tolist() == [True, True, False, True, True]
