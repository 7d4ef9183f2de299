"""Both roads: the same bits for any workers, batches and resume; the same views; broken images named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from linnet.errors import ImageError, RecipeError
from linnet.images import Augmentation, ImageSource, Preprocessing
from linnet.images.loader import Road
from tests.images.conftest import MakeManifest

CROP, RESIZED = Augmentation("crop", padding=3), Augmentation("resized-crop")
VIEW = Preprocessing(16, 18)


def all_of(source: ImageSource, epoch: int, order: NDArray[np.int64], size: int, start: int = 0) -> torch.Tensor:
    return torch.cat([batch.images for batch in source.epoch(epoch, order, size, start_step=start)])


@pytest.mark.parametrize("augmentation", [CROP, RESIZED, Augmentation("none")])
def test_workers_batches_and_resume_change_no_bit(files: MakeManifest, augmentation: Augmentation) -> None:
    manifest = files(14, 24, 20, ".jpg")
    rows = np.arange(13, 1, -1)
    order = np.random.default_rng(0).permutation(12)
    alone = ImageSource(manifest, rows, VIEW, augmentation, seed=7, road="files")
    helped = ImageSource(manifest, rows, VIEW, augmentation, seed=7, road="files", workers=2)
    try:
        first = all_of(alone, 0, order, 5)
        assert torch.equal(all_of(helped, 0, order, 5), first)
        assert torch.equal(all_of(helped, 0, order, 3), first)
        assert torch.equal(all_of(alone, 0, order, 12), first)
        assert torch.equal(all_of(helped, 0, order, 5, start=1), first[5:])
        second = all_of(helped, 1, order, 5)
        assert torch.equal(all_of(alone, 1, order, 5), second)
        assert torch.equal(first, second) == (augmentation.kind == "none")
    finally:
        helped.close()


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(["none", "crop"]),
    seed=st.integers(0, 99),
    epoch=st.integers(0, 9),
    sizes=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    data=st.data(),
)
def test_memory_batches_depend_on_the_key_alone(
    arrays: MakeManifest, kind: str, seed: int, epoch: int, sizes: tuple[int, int], data: st.DataObject
) -> None:
    augmentation = Augmentation(kind)  # type: ignore[arg-type]
    source = ImageSource(arrays(9, 8), np.arange(9), Preprocessing(8), augmentation, seed=seed)
    order = np.asarray(data.draw(st.permutations(range(9))))
    natural = all_of(source, epoch, np.arange(9), sizes[0])
    assert torch.equal(all_of(source, epoch, order, sizes[1]), natural[torch.from_numpy(order)])


def test_batches_carry_positions_and_targets(files: MakeManifest) -> None:
    manifest = files(7, 16, 16)
    rows = np.asarray([6, 2, 4, 0])
    roads: tuple[Road, ...] = ("files", "memory")
    for road in roads:
        source = ImageSource(manifest, rows, Preprocessing(16), CROP, road=road)
        batches = list(source.epoch(0, np.asarray([3, 0, 1]), 2))
        assert [batch.index.tolist() for batch in batches] == [[3, 0], [1]]
        for batch in batches:
            assert batch.images.dtype == torch.float32 and batch.index.dtype == torch.int64
            np.testing.assert_array_equal(batch.targets, manifest.targets[rows[batch.index.numpy()]])
        assert [batch.index.tolist() for batch in source.sequential(3)] == [[0, 1, 2], [3]]
        chosen = source.sequential(8, np.asarray([2, 1]))
        assert [batch.index.tolist() for batch in chosen] == [[2, 1]]
        assert len(source) == 4


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize(("height", "width"), [(16, 16), (30, 41)])
def test_both_roads_give_the_same_views(files: MakeManifest, height: int, width: int, channels_last: bool) -> None:
    manifest = files(9, height, width)
    sources = [
        ImageSource(manifest, np.arange(9), Preprocessing(16), CROP, road=road, channels_last=channels_last)
        for road in ("memory", "files")
    ]
    for memory, files_ in zip(*(source.sequential(4) for source in sources), strict=True):
        assert torch.equal(memory.images, files_.images)
        layout = torch.channels_last if channels_last else torch.contiguous_format
        assert memory.images.is_contiguous(memory_format=layout)
        assert files_.images.is_contiguous(memory_format=layout)
    order = np.random.default_rng(0).permutation(9)
    for memory, files_ in zip(*(source.epoch(2, order, 4) for source in sources), strict=True):
        assert torch.equal(memory.images, files_.images)


@pytest.mark.parametrize("augmentation", [RESIZED, Augmentation("window", share=0.8)])
def test_boxes_agree_between_roads_up_to_rounding(files: MakeManifest, augmentation: Augmentation) -> None:
    manifest = files(6, 20, 20)
    memory, decoded = (
        all_of(ImageSource(manifest, np.arange(6), Preprocessing(20), augmentation, road=road), 0, np.arange(6), 4)
        for road in ("memory", "files")
    )
    assert (memory - decoded).abs().max() < 1.6 / 255 / 0.22


def test_arrays_of_another_size_are_resized(arrays: MakeManifest) -> None:
    manifest = arrays(3, 20)
    assert manifest.pixels is not None
    source = ImageSource(manifest, np.arange(3), Preprocessing(16, mean=(0, 0, 0), std=(1, 1, 1)))
    seen = next(source.sequential(3)).images[1].permute(1, 2, 0).numpy() * 255
    wanted = Image.fromarray(manifest.pixels[1]).resize((16, 16), Image.Resampling.BILINEAR)
    np.testing.assert_allclose(seen, np.asarray(wanted), atol=2.001)  # Pillow rounds some the other way


@pytest.mark.parametrize(
    ("height", "width", "size", "augmentation", "road"),
    [
        (32, 32, 32, CROP, "memory"),
        (96, 64, 64, CROP, "memory"),
        (97, 64, 64, CROP, "files"),
        (48, 48, 32, RESIZED, "files"),
        (32, 32, 32, RESIZED, "memory"),
    ],
)
def test_auto_keeps_small_files_in_memory(
    files: MakeManifest, height: int, width: int, size: int, augmentation: Augmentation, road: str
) -> None:
    manifest = files(3, height, width)
    assert ImageSource(manifest, np.arange(3), Preprocessing(size), augmentation).road == road


def test_auto_takes_files_for_mixed_sizes_and_beyond_the_budget(
    files: MakeManifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = files(3, 32, 32)
    monkeypatch.setattr("linnet.images.memory.BUDGET", 3 * 3 * 32 * 32 - 1)
    assert ImageSource(manifest, np.arange(3), Preprocessing(32)).road == "files"
    monkeypatch.undo()
    Image.new("RGB", (31, 32)).save(manifest.path(2))
    assert ImageSource(manifest, np.arange(3), Preprocessing(32)).road == "files"


@pytest.mark.parametrize("workers", [0, 2])
def test_a_file_that_breaks_after_the_check_is_named(files: MakeManifest, workers: int) -> None:
    manifest = files(6, 24, 20)
    source = ImageSource(manifest, np.asarray([5, 4, 3]), VIEW, CROP, road="files", workers=workers)
    manifest.path(4).write_bytes(b"")
    try:
        with pytest.raises(ImageError, match=r"photos, row 5: .*004.png: the file is empty"):
            list(source.epoch(0, np.arange(3), 3))
        manifest.path(4).write_bytes(manifest.path(3).read_bytes())
        assert len(list(source.epoch(0, np.arange(3), 3))) == 1  # and it works once mended
    finally:
        source.close()


def test_too_little_shared_memory_is_said(files: MakeManifest, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("unable to allocate shared memory(shm)")

    monkeypatch.setattr(torch.Tensor, "share_memory_", refuse)
    source = ImageSource(files(4, 24, 20), np.arange(4), VIEW, CROP, road="files", workers=2)
    with pytest.raises(RecipeError, match=r"workers = 2 need 0 MB .*unable to allocate.*--shm-size"):
        all_of(source, 0, np.arange(4), 2)


@pytest.mark.parametrize("workers", [0, 1])
def test_passes_may_be_left_and_overlap(files: MakeManifest, workers: int) -> None:
    source = ImageSource(files(8, 24, 20), np.arange(8), VIEW, CROP, road="files", workers=workers)
    try:
        wanted = all_of(source, 0, np.arange(8), 2)
        left = source.epoch(1, np.arange(8), 2)
        next(left)
        inner = torch.cat([batch.images for batch in source.epoch(0, np.arange(8), 2)])
        assert torch.equal(inner, wanted)
        assert len(list(left)) == 3
        abandoned = source.epoch(1, np.arange(8), 2)
        next(abandoned)
        del abandoned
        assert torch.equal(all_of(source, 0, np.arange(8), 2), wanted)
    finally:
        source.close()


def test_no_pass_touches_torchs_random_state(files: MakeManifest) -> None:
    before = torch.random.get_rng_state()
    source = ImageSource(files(4, 24, 20), np.arange(4), VIEW, RESIZED, road="files")
    list(source.epoch(0, np.arange(4), 2))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_an_unknown_road_names_the_nearest(arrays: MakeManifest) -> None:
    road: Road = "memmory"  # type: ignore[assignment]
    with pytest.raises(RecipeError, match="did you mean 'memory'"):
        ImageSource(arrays(2, 8), np.arange(2), Preprocessing(8), road=road)
    with pytest.raises(RecipeError, match="workers = -1"):
        ImageSource(arrays(2, 8), np.arange(2), Preprocessing(8), workers=-1)


def test_an_empty_order_gives_no_batches(arrays: MakeManifest, files: MakeManifest) -> None:
    for manifest in (arrays(2, 8), files(2, 8, 8)):
        source = ImageSource(manifest, np.arange(2), Preprocessing(8), CROP, road="memory")
        assert list(source.epoch(0, np.empty(0, np.int64), 4)) == []
        assert list(source.epoch(0, np.arange(2), 2, start_step=1)) == []


def test_killing_the_process_ends_its_workers(files: MakeManifest, tmp_path: Path) -> None:
    """A script with no main guard: workers must neither run it again nor outlive it."""
    import os
    import signal
    import subprocess
    import sys
    import time

    files(4, 24, 20)
    script = tmp_path / "script.py"
    script.write_text(
        "import multiprocessing, sys, time\n"
        "import numpy as np\n"
        "from tests.images.conftest import _manifest\n"
        "from linnet.images import ImageSource, Preprocessing\n"
        "from pathlib import Path\n"
        f"manifest = _manifest(Path({str(tmp_path)!r}), [f'{{i:03d}}.png' for i in range(4)], None)\n"
        "source = ImageSource(manifest, np.arange(4), Preprocessing(8), road='files', workers=2)\n"
        "print('started', *[len(batch.index) for batch in source.sequential(2)],\n"
        "      *[child.pid for child in multiprocessing.active_children()], flush=True)\n"
        "time.sleep(60)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    with process.stdout:
        words = process.stdout.readline().split()
    assert words[:3] == ["started", "2", "2"]
    workers = [int(word) for word in words[3:]]
    assert len(workers) == 2
    process.send_signal(signal.SIGKILL)
    process.wait()
    for _ in range(100):
        alive = [pid for pid in workers if Path(f"/proc/{pid}").exists()]
        if not alive:
            break
        time.sleep(0.1)
    assert alive == []
