"""The file of feature maps: what is written comes back, and what is damaged is noticed."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from linnet.randomness import generator
from linnet.training.feature_file import FeatureFile, Maps

SHAPE = (2, 2, 3, 4)


def some(count: int, seed: int = 0) -> Maps:
    return generator(seed, "maps").standard_normal((count, *SHAPE)).astype(np.float16)


def filled(folder: Path, count: int = 5) -> FeatureFile:
    file = FeatureFile(folder)
    file.add([f"image {n}" for n in range(count)], some(count))
    file.save()
    return FeatureFile(folder)


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    """In pieces, by whoever opens it; what was not written has no place."""
    file = filled(tmp_path)
    file.add(["one more"], some(1, seed=1))
    file.save()
    file = FeatureFile(tmp_path)
    assert file.shape == SHAPE
    assert file.places(["one more", "image 3", "never"]).tolist() == [5, 3, -1]
    assert np.array_equal(file.maps(), np.concatenate([some(5), some(1, seed=1)]))
    assert file.sound(np.array([5, 0, -1, 6]), workers=2).tolist() == [True, True, False, False]


def test_an_empty_file_holds_nothing(tmp_path: Path) -> None:
    file = FeatureFile(tmp_path)
    assert file.places(["image"]).tolist() == [-1] and not file.sound(np.array([-1])).any() and not len(file.maps())
    file.save()
    assert FeatureFile(tmp_path).shape == ()


def test_another_shape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="maps of"):
        filled(tmp_path).add(["other"], some(1)[:, :, :1])


def test_damage_is_noticed_and_its_record_replaced(tmp_path: Path) -> None:
    """One flipped bit, or a file cut short; the others stay sound."""
    file, data = filled(tmp_path), tmp_path / "maps-0.bin"
    whole = bytearray(data.read_bytes())
    whole[100] ^= 1  # in the second record of 96 bytes
    data.write_bytes(whole[:-1])
    assert file.sound(np.arange(5)).tolist() == [True, False, True, True, False]
    file.drop([1, 4])
    file.add(["image 1", "image 4"], some(5)[[1, 4]])
    file.save()
    again = FeatureFile(tmp_path)
    places = again.places([f"image {n}" for n in range(5)])
    assert again.sound(places).all() and np.array_equal(again.maps()[places], some(5))


def test_what_the_table_does_not_speak_of_is_written_over(tmp_path: Path) -> None:
    """As after a crash between the two writes."""
    filled(tmp_path).add(["lost"], some(1, seed=2))
    file = FeatureFile(tmp_path)
    assert file.places(["lost"]).tolist() == [-1]
    file.add(["kept"], some(1, seed=3))
    file.save()
    again = FeatureFile(tmp_path)
    assert again.sound(np.arange(6)).all() and np.array_equal(again.maps()[5], some(1, seed=3)[0])


def test_an_unreadable_table_is_told_and_begun_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """In another file: a run may have the old one open."""
    old = filled(tmp_path).maps()
    (tmp_path / "maps.parquet").write_bytes(b"no table")
    caplog.set_level(logging.WARNING)
    file = FeatureFile(tmp_path)
    assert file.places(["image 0"]).tolist() == [-1] and "cannot be read" in caplog.text
    file.add(["image 0"], some(1, seed=4))
    file.save()
    assert np.array_equal(FeatureFile(tmp_path).maps(), some(1, seed=4)) and np.array_equal(old, some(5))


def test_the_table_is_written_while_records_are_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("linnet.training.feature_file._SECONDS", 0.0)
    FeatureFile(tmp_path).add(["image 0"], some(1))
    assert FeatureFile(tmp_path).places(["image 0"]).tolist() == [0]
