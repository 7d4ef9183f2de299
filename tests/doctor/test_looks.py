"""Codes and looks: copies are found, other pictures and even tones are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

from linnet.doctor.duplicates import RADIUS
from linnet.doctor.looks import LOOK, alike, codes, flat, look_of
from tests.doctor.planted import photo


def looks(*images: Image.Image) -> np.ndarray:
    return np.stack([look_of(np.asarray(image.convert("RGB"))) for image in images])


def same(one: np.ndarray, other: np.ndarray) -> bool:
    near = np.bitwise_count(codes(one[None])[0] ^ codes(other[None])[0]) <= RADIUS
    return bool(near and alike(one[None], other[None])[0][0])


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
    assert flat(drawn).tolist() == [True, False]
    assert flat(drawn[:0]).shape == (0,) and codes(drawn[:0]).shape == (0,)
