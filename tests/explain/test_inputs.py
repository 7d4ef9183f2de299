"""Images as a user names them, and the squares that nets and people see."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from linnet.errors import ImageError
from linnet.explain.inputs import find_images, squares
from linnet.images import Preprocessing


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three pictures, one of them in a folder below, and a text."""
    (tmp_path / "more").mkdir()
    for number, name in enumerate(["a.png", "b [1].jpg", "more/c.PNG"]):
        Image.new("RGB", (30, 20), (number, 100, 200)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


def test_files_folders_and_patterns(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_images([str(photos)], 9).names == ["a.png", "b [1].jpg", "c.PNG"]
    assert find_images([f"{photos}/*.png", f"{photos}/a.png"], 9).names == ["a.png"], "each once"
    assert find_images([f"{photos}/**/*.PNG"], 9).names == ["c.PNG"]
    assert find_images([f"{photos}/b [1].jpg"], 9).names == ["b [1].jpg"], "a name with brackets is a name"
    monkeypatch.chdir(photos)
    assert find_images(["more", "*.jpg"], 9).names == ["c.PNG", "b [1].jpg"]


def test_too_many_are_drawn_from_always_alike(photos: Path) -> None:
    drawn = find_images([str(photos)], 2)
    assert len(drawn.names) == len(drawn.truths) == 2 and drawn.names == sorted(drawn.names)
    assert find_images([str(photos)], 2).names == drawn.names


def test_everything_that_names_no_image_is_told_at_once(photos: Path) -> None:
    (photos / "empty").mkdir()
    given = [f"{photos}/no.jpg", f"{photos}/a.png", f"{photos}/*.gif", f"{photos}/empty"]
    with pytest.raises(ImageError) as caught:
        find_images(given, 9)
    message = str(caught.value)
    assert "3 of 4" in message and "a.png" not in message
    for part in ("no.jpg: no such file or folder", "*.gif: matches no file", "empty: no image in this folder"):
        assert part in message


def test_every_broken_file_is_named(photos: Path) -> None:
    (photos / "broken.jpg").write_bytes((photos / "b [1].jpg").read_bytes()[:40])
    with pytest.raises(ImageError, match=r"2 of 3 images cannot be used") as caught:
        squares([photos / "a.png", photos / "broken.jpg", photos / "notes.txt"], Preprocessing(8))
    assert "broken.jpg" in str(caught.value) and "notes.txt" in str(caught.value)


def test_people_see_the_same_part_larger() -> None:
    pixels = np.arange(24 * 24 * 3, dtype=np.int64).reshape(24, 24, 3).astype(np.uint8)
    seen, shown = (squares([pixels], Preprocessing(16, 24), least) for least in (0, 40))
    assert seen.shape == (1, 16, 16, 3) and shown.shape == (1, 48, 48, 3)
    assert np.array_equal(seen[0], pixels[4:20, 4:20])
    assert np.array_equal(shown[0], seen[0].repeat(3, 0).repeat(3, 1))


def test_files_are_cut_anew(tmp_path: Path) -> None:
    """With the detail that the net's small input has not."""
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    Image.fromarray(stripes).save(tmp_path / "stripes.png")
    seen, shown = (squares([tmp_path / "stripes.png"], Preprocessing(16), least) for least in (0, 64))
    assert np.ptp(seen.astype(int)) < 40 and np.array_equal(shown[0], stripes)
