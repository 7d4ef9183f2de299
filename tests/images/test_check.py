"""Every broken image is named in one error; a second check of unchanged files decodes nothing."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from linnet.errors import ImageError
from linnet.images import ImageSource, Preprocessing, check_images, load_images
from linnet.images.check import CACHE_NAME
from linnet.images.decode import open_image
from linnet.manifest import Manifest, read_manifest
from tests.images.conftest import MakeManifest

BROKEN = {
    "empty.jpg": "the file is empty (0 bytes)",
    "missing.jpg": "no such file",
    "text.jpg": "not an image in a known format",
    "truncated.jpg": "truncated",
    "truncated.png": "",
    "folder.jpg": "directory",
}


@pytest.fixture
def broken(tmp_path: Path) -> Manifest:
    """Two whole images, and one of each kind of broken ones between them."""
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    for name in ("first.jpg", "last.jpg"):
        image.save(tmp_path / name)
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("a letter, not a picture")
    (tmp_path / "folder.jpg").mkdir()
    for kind in ("jpeg", "png"):
        stream = io.BytesIO()
        image.save(stream, kind)
        name = f"truncated.{kind.replace('e', '')}"
        (tmp_path / name).write_bytes(stream.getvalue()[: len(stream.getvalue()) // 2])
    table = tmp_path / "photos.csv"
    names = ["first.jpg", *BROKEN, "last.jpg"]
    table.write_text("image,coarse\n" + "".join(f"{name},bird\n" for name in names))
    return read_manifest(table)


def assert_all_named(text: str) -> None:
    assert "6 of 8 images cannot be used" in text
    for line, (name, reason) in enumerate(BROKEN.items(), 3):
        assert any(
            f"photos.csv, line {line}" in told and name in told and reason in told.lower() for told in text.splitlines()
        ), (name, text)
    assert "first.jpg" not in text and "last.jpg" not in text
    assert "take their rows out" in text


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_the_check_names_every_broken_image(broken: Manifest, workers: int) -> None:
    with pytest.raises(ImageError) as caught:
        check_images(broken, np.arange(8), workers, False)
    assert_all_named(str(caught.value))
    check_images(broken, np.asarray([7, 0]))


def test_loading_into_memory_is_itself_the_check(broken: Manifest) -> None:
    with pytest.raises(ImageError) as caught:
        ImageSource(broken, np.arange(8), Preprocessing(8), road="memory", workers=2)
    assert_all_named(str(caught.value))


def test_new_photos_that_are_broken_are_all_named(broken: Manifest) -> None:
    paths = [broken.path(row) for row in range(8)]
    with pytest.raises(ImageError) as caught:
        load_images(paths, Preprocessing(8))
    assert "6 of 8 images cannot be used" in str(caught.value)
    assert all(name in str(caught.value) for name in BROKEN)
    assert "row" not in str(caught.value), "loose photos have none"
    assert load_images([paths[0], str(paths[7])], Preprocessing(8)).shape == (2, 3, 8, 8)


def test_twenty_are_listed_and_the_rest_counted(files: MakeManifest) -> None:
    manifest = files(30, 8, 8)
    for row in range(25):
        manifest.path(row).write_bytes(b"")
    with pytest.raises(ImageError, match=r"25 of 30 images (.*\n)+  and 5 more\n") as caught:
        check_images(manifest)
    assert str(caught.value).count("photos, row") == 20


def test_a_second_check_decodes_only_what_changed(
    files: MakeManifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, cache = files(5, 8, 8), tmp_path / "cache"
    decoded: list[str] = []

    def noting(path: str) -> Image.Image:
        decoded.append(path)
        return open_image(path)

    monkeypatch.setitem(check_images.__globals__, "open_image", noting)
    check_images(manifest, cache=cache)
    assert len(decoded) == 5
    check_images(manifest, cache=cache)
    assert len(decoded) == 5
    Image.new("RGB", (9, 9)).save(manifest.path(3))
    manifest.path(4).write_bytes(b"")
    with pytest.raises(ImageError, match="row 5"):
        check_images(manifest, cache=cache)
    assert len(decoded) == 7
    with pytest.raises(ImageError, match="row 5"):  # a broken one is never remembered as whole
        check_images(manifest, cache=cache)
    assert len(decoded) == 8
    (cache / CACHE_NAME).write_bytes(b"not parquet")
    check_images(manifest, np.arange(4), cache=cache)
    assert len(decoded) == 12


def test_two_at_once_decode_each_image_once(
    files: MakeManifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the processes of one run do; the second begins while the first is at it."""
    manifest, looked_at, begun = files(6, 8, 8), list[str](), threading.Event()
    other = threading.Thread(target=check_images, args=(manifest,), kwargs={"cache": tmp_path / "cache"})

    def noting(path: str) -> object:
        looked_at.append(path)
        if not begun.is_set():
            begun.set()
            other.start()
            other.join(0.3)  # time enough to decode them all
        return open_image(path)

    monkeypatch.setitem(check_images.__globals__, "open_image", noting)
    check_images(manifest, workers=1, cache=tmp_path / "cache")
    other.join()
    assert len(looked_at) == 6


def test_a_cache_that_cannot_be_written_or_read(files: MakeManifest, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    check_images(files(2, 8, 8), cache=tmp_path / "file")
    check_images(files(2, 8, 8), cache=Path("/proc/linnet"))
    (tmp_path / "cache" / CACHE_NAME).mkdir(parents=True)
    check_images(files(2, 8, 8), cache=tmp_path / "cache")


def test_a_broken_file_of_a_folder_is_named_once(tmp_path: Path) -> None:
    (tmp_path / "dog").mkdir()
    (tmp_path / "dog" / "1.jpg").touch()
    with pytest.raises(ImageError) as caught:
        check_images(read_manifest(tmp_path))
    assert str(caught.value).count("1.jpg") == 1


def test_a_decompression_bomb_is_broken(files: MakeManifest, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = files(2, 8, 8)
    Image.new("RGB", (40, 40)).save(manifest.path(1))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ImageError, match=r"row 2: .*40 x 40 pixels are more than the limit of 1,000"):
        check_images(manifest)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ImageError, match="row 2"):
        check_images(manifest)


def test_arrays_need_no_check(arrays: MakeManifest) -> None:
    check_images(arrays(2, 8))


def test_photos_get_the_evaluation_view(files: MakeManifest) -> None:
    manifest = files(4, 30, 20, ".jpg")
    preprocessing = Preprocessing(12, 14)
    source = ImageSource(manifest, np.arange(4), preprocessing, road="files")
    seen = load_images([manifest.path(row) for row in range(4)], preprocessing, workers=2)
    assert seen.equal(next(source.sequential(4)).images)
