"""The decoded cache: the same views whatever its state; built once, gone on with, shared; never stale or damaged."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from PIL.ImageFile import ImageFile

from linnet.errors import ImageError, RecipeError
from linnet.images import Augmentation, ImageSource, Preprocessing, check_images, jpeg
from linnet.images import cache as cache_module
from linnet.images import cache_file as cache_file_module
from linnet.images.cache import ImageCache, KeptImages
from linnet.images.decode import open_image
from linnet.images.kept import find_cache, working_side
from linnet.images.resize import Pixels
from linnet.manifest import Manifest
from tests.images.conftest import MakeManifest
from tests.reference.crop import resized_view

RESIZED = Augmentation("resized-crop")
VIEW = Preprocessing(16, 18, mean=(0, 0, 0), std=(1, 1, 1))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's cache folder of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "linnet"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Names of the files that were decoded, as they are."""
    names: list[str] = []

    def noting(path: str) -> object:
        names.append(Path(path).name)
        return open_image(path)

    monkeypatch.setitem(check_images.__globals__, "open_image", noting)
    yield names


def source(manifest: Manifest, augmentation: Augmentation = RESIZED, view: Preprocessing = VIEW) -> ImageSource:
    return ImageSource(manifest, np.arange(len(manifest)), view, augmentation, seed=7, road="cache")


def views(taken: ImageSource, epoch: int = 0) -> torch.Tensor:
    return torch.cat([batch.images for batch in taken.epoch(epoch, np.arange(len(taken)), 5)])


def data_file(manifest: Manifest) -> Path:
    (path,) = find_cache(manifest, VIEW, RESIZED).folder.glob("pixels-*.bin")
    return path


def working(path: Path, side: int) -> NDArray[np.uint8]:
    return ImageCache(path.parent, side).working(open_image(path))


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize(("height", "width"), [(18, 18), (40, 29), (19, 90), (12, 50), (180, 150)])
@pytest.mark.parametrize("resize", [18, None])
def test_evaluation_views_are_those_of_the_files(
    files: MakeManifest, height: int, width: int, suffix: str, resize: int | None
) -> None:
    manifest, view = files(5, height, width, suffix), Preprocessing(16, resize)
    for kind in (Augmentation("none"), Augmentation("crop", padding=3)):
        cached, direct = (
            ImageSource(manifest, np.arange(5), view, kind, seed=1, road=road) for road in ("cache", "files")
        )
        for one, other in zip(cached.sequential(3), direct.sequential(3), strict=True):
            assert torch.equal(one.images, other.images)
        assert torch.equal(views(cached), views(direct))


def test_resized_crops_are_cut_from_the_working_image(files: MakeManifest) -> None:
    manifest = files(6, 44, 36, ".jpg")
    taken = source(manifest)
    assert taken.road == "cache"
    for epoch in (0, 3):
        for position, seen in enumerate(views(taken, epoch)):
            small = working(manifest.path(position), 18)
            assert small.shape == (22, 18, 3)
            wanted = resized_view(small, 16, True, 7, epoch, position)
            np.testing.assert_allclose(seen.permute(1, 2, 0).numpy() * 255, wanted, atol=1.6)


def test_the_state_of_the_cache_changes_no_bit(files: MakeManifest, home: Path) -> None:
    manifest = files(9, 40, 30, ".jpg")
    fresh = views(source(manifest))
    assert torch.equal(views(source(manifest)), fresh)
    some = ImageSource(manifest, np.asarray([8, 2]), VIEW, RESIZED, seed=7, road="cache")
    assert torch.equal(some.epoch(0, np.asarray([0, 1]), 2).__next__().images.sum(), views(some).sum())
    helped = ImageSource(manifest, np.arange(9), VIEW, RESIZED, seed=7, road="cache", workers=2)
    try:
        assert torch.equal(views(helped), fresh)
        order = np.random.default_rng(0).permutation(9)
        shuffled = torch.cat([batch.images for batch in helped.epoch(0, order, 4)])
        assert torch.equal(shuffled, fresh[torch.from_numpy(order)])
        rest = torch.cat([batch.images for batch in helped.epoch(0, order, 4, start_step=1)])
        assert torch.equal(rest, shuffled[4:])
    finally:
        helped.close()


def test_a_second_run_decodes_nothing(files: MakeManifest, decoded: list[str]) -> None:
    manifest = files(7, 30, 40)
    source(manifest)
    assert sorted(decoded) == sorted(f"{number:03d}.png" for number in range(7))
    source(manifest)
    check_images(manifest, cache=cache_module.files.cache_folder())
    assert len(decoded) == 7
    new = files(9, 30, 40)  # two more photos in the same folder, and none of the old written again
    for row in range(7):
        assert new.path(row) == manifest.path(row)
    source(new)
    assert len(decoded) == 9 + 7  # their times of change are new


def test_new_rows_are_added_to_the_old(files: MakeManifest, decoded: list[str]) -> None:
    manifest = files(6, 30, 40)
    ImageSource(manifest, np.asarray([0, 3]), VIEW, RESIZED, road="cache")
    assert sorted(decoded) == ["000.png", "003.png"]
    source(manifest)
    assert len(decoded) == 6


def test_an_interrupted_pass_goes_on_where_it_ended(
    files: MakeManifest, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = files(10, 30, 40)
    whole = ImageCache.working

    def failing(self: ImageCache, image: ImageFile) -> Pixels:
        if Path(str(image.filename)).name == "006.png":
            image.close()
            raise KeyboardInterrupt
        return whole(self, image)

    with monkeypatch.context() as patch:
        patch.setattr(ImageCache, "working", failing)
        with pytest.raises(KeyboardInterrupt):
            source(manifest)
    del decoded[:]
    taken = source(manifest)
    assert sorted(decoded) == ["006.png", "007.png", "008.png", "009.png"]
    monkeypatch.setenv("XDG_CACHE_HOME", str(manifest.root / "other"))
    assert torch.equal(views(source(manifest)), views(taken))


def test_what_lies_beyond_the_table_does_not_count(files: MakeManifest, decoded: list[str]) -> None:
    """A process was killed after it wrote pixels and before it wrote the table."""
    manifest = files(6, 30, 40)
    ImageSource(manifest, np.arange(3), VIEW, RESIZED, road="cache")
    with data_file(manifest).open("ab") as stream:
        stream.write(b"torn" * 999)
    taken = source(manifest)
    assert len(decoded) == 6
    assert taken._files is not None and taken._files._decoder.kept is not None
    for row in range(6):
        np.testing.assert_array_equal(taken._files._decoder.kept[row], working(manifest.path(row), 18))


@pytest.mark.parametrize("harm", ["byte", "short", "gone", "table"])
def test_damage_is_found_and_mended(
    files: MakeManifest, decoded: list[str], caplog: pytest.LogCaptureFixture, harm: str
) -> None:
    manifest = files(5, 30, 40)
    wanted = views(source(manifest))
    path = data_file(manifest)
    content = bytearray(path.read_bytes())
    if harm == "byte":
        content[len(content) // 2] ^= 1
    path.write_bytes(content[: len(content) - 1 if harm == "short" else None])
    if harm == "gone":
        path.unlink()
    if harm == "table":
        (path.parent / "images.parquet").write_bytes(b"not a table")
    caplog.clear()
    assert torch.equal(views(source(manifest)), wanted)
    assert len(decoded) == 5 + {"byte": 1, "short": 1, "gone": 5, "table": 5}[harm]
    assert ("cannot be read" if harm == "table" else "are damaged") in caplog.text
    caplog.clear()
    assert torch.equal(views(source(manifest)), wanted)
    assert "damaged" not in caplog.text


def test_a_disk_that_does_not_keep_is_refused(files: MakeManifest, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = files(3, 30, 40)
    monkeypatch.setattr(cache_module, "zlib", SimpleNamespace(crc32=lambda content: 0))
    with pytest.raises(RecipeError, match="does not give back what was written"):
        source(manifest)


@pytest.mark.skipif(sys.platform != "linux", reason="the size of the memory is asked of Linux")
def test_a_cache_may_be_larger_than_the_memory(tmp_path: Path) -> None:
    length = 2 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    path = tmp_path / "pixels-0.bin"
    path.touch()
    os.truncate(path, length)  # sparse: it takes no room
    kept = KeptImages(path, length, *(np.asarray([number]) for number in (length - 12, 2, 2)))
    kept[0][:] = 1
    assert kept[0].sum() == 12
    with path.open("rb") as stream:
        stream.seek(length - 12)
        assert stream.read() == bytes(12)


def test_a_full_disk_leaves_no_entry_without_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    paths = [f"{number}.png" for number in range(cache_file_module._BLOCK + 1)]
    with monkeypatch.context() as patch, pytest.raises(RecipeError, match=r"No space left .*make room"):
        patch.setattr(cache_file_module.files, "append_bytes", full)
        with ImageCache(tmp_path, 18).writing() as writer:
            for path in paths:
                writer.add(path, (1, 1), np.zeros((18, 18, 3), np.uint8))
    assert ImageCache(tmp_path, 18).lacking(paths, [(1, 1)] * len(paths)).all()


def test_two_menders_leave_what_the_other_reads(files: MakeManifest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both find the same damage; the slower one drops nothing that is mended, and writes over nothing that is read."""
    manifest = files(6, 30, 40)
    wanted = views(source(manifest))
    path = data_file(manifest)
    length = path.stat().st_size
    path.write_bytes(bytes(length))
    look, faster = ImageCache.images, list[ImageSource]()

    def looking(self: ImageCache, paths: Sequence[str], workers: int = 1) -> tuple[KeptImages, NDArray[np.bool_]]:
        seen = look(self, paths, workers)
        if not faster:  # while the slower one looks
            monkeypatch.setattr(ImageCache, "images", look)
            faster.append(source(manifest))
        return seen

    monkeypatch.setattr(ImageCache, "images", looking)
    slower = ImageSource(manifest, np.arange(6)[::-1].copy(), VIEW, RESIZED, seed=7, road="cache")
    assert torch.equal(views(faster[0]), wanted)
    assert torch.equal(next(slower.sequential(6)).images.flip(0), next(faster[0].sequential(6)).images)
    assert path.stat().st_size == 2 * length  # mended once, behind what was damaged


def test_what_was_dropped_is_not_written_over(files: MakeManifest) -> None:
    manifest = files(6, 30, 40)
    reader = source(manifest)
    wanted = views(reader)
    with find_cache(manifest, VIEW, RESIZED).writing() as writer:
        writer.drop(str(manifest.path(row)) for row in (4, 5))
    for row in (5, 4):
        ImageSource(manifest, np.asarray([row]), VIEW, RESIZED, road="cache")
    assert torch.equal(views(reader), wanted)


def test_a_cache_made_anew_is_not_read_as_the_old_one(files: MakeManifest, home: Path) -> None:
    manifest = files(3, 30, 40)
    source(manifest)
    shutil.rmtree(home)
    for row in range(3):
        Image.fromarray(np.full((30, 40, 3), 50 + row, np.uint8)).save(manifest.path(row))
    seen = next(source(manifest).sequential(3)).images.mean((1, 2, 3))
    np.testing.assert_allclose(seen.numpy() * 255, [50, 51, 52], atol=1e-3)


def test_a_changed_file_is_noticed(files: MakeManifest, decoded: list[str]) -> None:
    manifest = files(4, 30, 40)
    before = views(source(manifest))
    status = manifest.path(2).stat()
    Image.fromarray(np.full((30, 40, 3), 99, np.uint8)).save(manifest.path(2))
    os.utime(manifest.path(2), ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    after = views(source(manifest))
    assert decoded[4:] == ["002.png"]
    same = [torch.equal(one, other) for one, other in zip(before, after, strict=True)]
    assert same == [True, True, False, True]
    np.testing.assert_allclose(after[2].numpy() * 255, 99, atol=1e-3)


def test_a_missing_file_is_named_though_its_pixels_are_kept(files: MakeManifest) -> None:
    manifest = files(4, 30, 40)
    source(manifest)
    manifest.path(1).unlink()
    with pytest.raises(ImageError, match=r"photos, row 2: .*001.png: no such file"):
        source(manifest)


def test_every_broken_image_is_named_and_the_others_kept(files: MakeManifest, decoded: list[str]) -> None:
    manifest = files(8, 30, 40, ".jpg")
    content = manifest.path(3).read_bytes()
    manifest.path(3).write_bytes(content[: len(content) // 2])
    manifest.path(6).write_bytes(b"")
    with pytest.raises(ImageError, match=r"(?i)2 of 8 images(.*\n)+.*row 4.*truncated(.*\n)+.*row 7.*empty"):
        source(manifest)
    manifest.path(3).write_bytes(content)
    manifest.path(6).write_bytes(content)
    del decoded[:]
    source(manifest)
    assert sorted(decoded) == ["003.jpg", "006.jpg"]


def test_two_processes_share_one_cache(files: MakeManifest, tmp_path: Path) -> None:
    """Both begin at once; each image is decoded by one of them, and both see the same."""
    files(24, 120, 160, ".jpg")
    script = tmp_path / "run.py"
    script.write_text(
        "import sys, numpy as np, torch, hashlib\n"
        "from pathlib import Path\n"
        "from tests.images.conftest import _manifest\n"
        "from linnet.images import Augmentation, ImageSource, Preprocessing, check_images\n"
        "from linnet.images.decode import open_image\n"
        "count = []\n"
        "check_images.__globals__['open_image'] = lambda path: (count.append(path), open_image(path))[1]\n"
        f"manifest = _manifest(Path({str(tmp_path)!r}), [f'{{i:03d}}.jpg' for i in range(24)], None)\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "crop, rows = Augmentation('resized-crop'), np.arange(24)\n"
        "taken = ImageSource(manifest, rows, Preprocessing(16, 18), crop, road='cache')\n"
        "seen = torch.cat([batch.images for batch in taken.epoch(0, rows, 8)])\n"
        "print(len(count), hashlib.sha256(seen.numpy().tobytes()).hexdigest())\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    runs = [
        subprocess.Popen([sys.executable, str(script)], stdin=pipe, stdout=pipe, text=True, env=environment)
        for _ in range(2)
    ]
    for run in runs:
        assert run.stdout is not None and run.stdout.readline() == "ready\n"
    for run in runs:
        assert run.stdin is not None
        run.stdin.write("go\n")
        run.stdin.flush()
    told = [run.communicate()[0].split() for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    assert sum(int(words[0]) for words in told) == 24
    assert told[0][1] == told[1][1]


def test_other_settings_or_decoders_have_a_cache_of_their_own(
    files: MakeManifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = files(1, 30, 40)
    folders = {
        find_cache(manifest, VIEW, RESIZED).folder,
        find_cache(manifest, Preprocessing(16, 20), RESIZED).folder,
        find_cache(manifest, Preprocessing(16, 18, interpolation="bicubic"), RESIZED).folder,
    }
    monkeypatch.setattr(cache_module, "decoder_name", lambda: "another")
    folders.add(find_cache(manifest, VIEW, RESIZED).folder)
    assert len(folders) == 4
    assert "Pillow" in jpeg.decoder_name()


def test_the_working_side_leaves_crops_room() -> None:
    assert working_side(Preprocessing(224, 256), RESIZED) == 256
    assert working_side(Preprocessing(224), RESIZED) == 256
    assert working_side(Preprocessing(224), Augmentation("none")) == 224
    assert working_side(Preprocessing(32), Augmentation("crop")) == 32


def test_its_size_is_told_before_and_is_about_right(
    files: MakeManifest, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = files(20, 36, 54)
    told: list[float] = []
    estimate = ImageCache.estimate

    def noting(self: ImageCache, paths: list[str]) -> int:
        assert not self.folder.exists()
        told.append(estimate(self, paths))
        return int(told[-1])

    monkeypatch.setattr(ImageCache, "estimate", noting)
    source(manifest)
    assert told == [pytest.approx(data_file(manifest).stat().st_size, rel=0.05)]
    assert "keeping 20 images, 18 pixels at the shorter side" in caplog.text


def test_too_little_room_is_said_before(files: MakeManifest, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = files(3, 30, 40)
    monkeypatch.setattr(cache_module.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(RecipeError, match=r"about 0.0 GB in .*XDG_CACHE_HOME.*road = 'files'"):
        source(manifest)


def test_a_folder_that_cannot_be_written_is_said(files: MakeManifest, home: Path) -> None:
    manifest = files(3, 30, 40)
    home.mkdir(parents=True)
    (home / "images").touch()
    with pytest.raises(RecipeError, match=r"cannot be written .*XDG_CACHE_HOME"):
        source(manifest)


def test_dropped_images_do_not_pile_up(files: MakeManifest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_file_module, "_SPARE", 100)
    manifest = files(4, 30, 40)
    for number in range(6):
        for row in range(4):
            os.utime(manifest.path(row), ns=(0, number + 1))
        taken = source(manifest)
    path = data_file(manifest)
    assert path.name != "pixels-0.bin"
    assert path.stat().st_size <= 3 * 4 * 18 * 24 * 3 + 100
    monkeypatch.setenv("XDG_CACHE_HOME", str(manifest.root / "other"))
    assert torch.equal(views(source(manifest)), views(taken))


def test_arrays_are_in_memory_already(arrays: MakeManifest, home: Path) -> None:
    assert source(arrays(3, 16)).road == "memory"
    assert not home.exists()
