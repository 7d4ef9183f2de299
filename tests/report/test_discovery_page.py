"""Contact sheets: whole by themselves, and nobody is missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from linnet.discover import Settings, discover, rename
from linnet.discover.embed import Data, pixel_subjects
from linnet.discover.pictures import thumbnails
from linnet.errors import RunError
from linnet.report.discovery_page import discovery_page
from tests.report.reader import assert_whole, read_page
from tests.training.tiny import tiny_manifest


def test_every_cluster_has_its_sheets(tmp_path: Path) -> None:
    manifest = tiny_manifest()
    subjects = pixel_subjects(Data(manifest, 0), side=8, progress=False)
    found = rename(discover(subjects, Settings(clusters=2, repeats=2)), "fox", 1, "<b>red</b>")
    size = discovery_page(found, manifest, tmp_path / "sheets.html")
    text = (tmp_path / "sheets.html").read_text()
    assert size == len(text.encode()) and text.count("<article>") == 12 and text.count("<section") == 6
    assert "1: &lt;b&gt;red&lt;/b&gt;" in text and "<b>red" not in text
    assert_whole(read_page(tmp_path / "sheets.html"))
    assert "near " in text and "borderline" in text
    assert discovery_page(found, manifest, tmp_path / "small.html", most=size * 9 // 10) <= size * 9 // 10
    with pytest.raises(RunError, match="with the smallest pictures"):
        discovery_page(found, manifest, tmp_path / "none.html", most=20_000)
    assert not (tmp_path / "none.html").exists()


def test_noise_is_shown(tmp_path: Path) -> None:
    manifest = tiny_manifest()
    subjects = pixel_subjects(Data(manifest, 0), side=8, progress=False)
    found = discover(subjects, Settings(method="hdbscan", least=20, repeats=2))
    assert (found.cluster < 0).any()
    discovery_page(found, manifest, tmp_path / "sheets.html")
    assert "in no cluster" in (tmp_path / "sheets.html").read_text()


def test_thumbnails_of_arrays_and_of_photos(data_folder: Path, tmp_path: Path) -> None:
    """Real photos of three coarse classes: clustered by pixels, and shown."""
    from linnet.datasets import load_data

    manifest = load_data("cub", data_folder)
    coarse = manifest.labels("coarse")
    first = np.unique(coarse)[:3]
    part = manifest.select(np.flatnonzero(np.isin(coarse, first))[::4])
    found = discover(pixel_subjects(Data(part, 0), progress=False), Settings(clusters="true", repeats=2, pca=8))
    assert set(found.fine.tolist()) <= set(part.labels("fine").tolist()) and (found.fine >= 0).all()
    size = discovery_page(found, part, tmp_path / "sheets.html")
    assert 50_000 < size < 9_500_000
    assert {each.shape for each in thumbnails(part, [0, 1], 112)} == {(112, 112, 3)}
    square = thumbnails(tiny_manifest(), [0], 112)[0]
    pixels = tiny_manifest().pixels
    assert pixels is not None and np.array_equal(square, pixels[0])
