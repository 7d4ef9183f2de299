"""Colour augmentation against one pixel at a time, and what holds whatever is drawn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from linnet.errors import RecipeError
from linnet.images import Augmentation, ImageSource, Preprocessing
from linnet.images.colour import draw_colours, recolour
from linnet.images.files import PIECE
from linnet.manifest import Manifest
from tests.images.conftest import MakeManifest
from tests.reference.colour import recoloured

CPU = torch.device("cpu")
PLAIN = Preprocessing(8, mean=(0, 0, 0), std=(1, 1, 1))
STRONG = Augmentation("crop", padding=2, color_jitter=0.6, grayscale=0.3)


def drawn(augmentation: Augmentation, count: int, seed: int = 0, epoch: int = 0) -> Tensor:
    maps = draw_colours(augmentation, seed, epoch, np.arange(count), CPU)
    assert maps is not None
    return maps


def views(source: ImageSource, epoch: int, batch_size: int) -> Tensor:
    return torch.cat([batch.images.clone() for batch in source.epoch(epoch, np.arange(len(source)), batch_size)])


@pytest.mark.parametrize(("strength", "grayscale"), [(0.4, 0.2), (1.0, 0.0), (0.0, 0.5)])
def test_equals_the_literal_loop(arrays: MakeManifest, strength: float, grayscale: float) -> None:
    manifest = arrays(24, 8)
    assert manifest.pixels is not None
    kind = Augmentation("none", color_jitter=strength, grayscale=grayscale)
    found = views(ImageSource(manifest, np.arange(24), PLAIN, kind, seed=5), 3, 7)
    for position, image in enumerate(found):
        wanted = recoloured(manifest.pixels[position].astype(float), strength, grayscale, 5, 3, position)
        np.testing.assert_allclose(255 * image.permute(1, 2, 0).numpy(), wanted, atol=2e-3)


@given(st.floats(0, 1), st.floats(0, 1), st.integers(0, 1000))
@settings(deadline=None)
def test_grey_stays_grey_and_everything_in_range(strength: float, grayscale: float, seed: int) -> None:
    if not strength and not grayscale:
        return
    maps = drawn(Augmentation(color_jitter=strength, grayscale=grayscale), 16, seed)
    grey = torch.linspace(0, 255, 16).expand(16, 3, 1, 16)
    found = recolour(grey.contiguous(), maps)
    torch.testing.assert_close(found[:, 0], found[:, 1], atol=2e-3, rtol=0)
    torch.testing.assert_close(found[:, 0], found[:, 2], atol=2e-3, rtol=0)
    noise = recolour(torch.randint(0, 256, (16, 3, 4, 4), generator=torch.Generator().manual_seed(seed)), maps)
    assert float(noise.min()) >= 0 and float(noise.max()) <= 255


def test_grayscale_alone_takes_the_colour_and_leaves_the_light() -> None:
    images = torch.randint(0, 256, (9, 3, 5, 5), generator=torch.Generator().manual_seed(0))
    found = recolour(images, drawn(Augmentation(grayscale=1.0), 9))
    light = (images * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1)
    for channel in range(3):
        torch.testing.assert_close(found[:, channel], light, atol=1e-3, rtol=0)


def test_how_many_are_changed_and_how_far() -> None:
    """8 in 10 by the jitter, the share asked for to grey; factors from 1 - s to 1 + s, both ends nearly reached."""
    maps = drawn(Augmentation(color_jitter=0.5), 20_000)
    same = (maps[:, :, :3] == torch.eye(3)).flatten(1).all(1) & (maps[:, :, 3] == 0).all(1)
    assert 0.19 < float(same.float().mean()) < 0.21
    white = 255 * maps[:, 0, :3].sum(1) + maps[:, 0, 3]  # what becomes of it before the cut; half as bright is mid-grey
    assert 127.49 < float(white.min()) < 135 and 490 < float(white.max()) < 1.5 * (1.5 * 255 - 127.5) + 127.51
    grey = drawn(Augmentation(grayscale=0.3), 20_000)
    assert 0.29 < float((grey[:, 0, 1] > 0.5).float().mean()) < 0.31


def open_source(
    manifest: Manifest, road: str, workers: int = 0, channels_last: bool = False, kind: Augmentation = STRONG
) -> ImageSource:
    return ImageSource(
        manifest,
        np.arange(len(manifest)),
        Preprocessing(8),
        kind,
        seed=2,
        road=road,  # type: ignore[arg-type]
        workers=workers,
        channels_last=channels_last,
    )


def test_the_same_bits_by_any_road_batch_layout_and_number_of_workers(
    files: MakeManifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    count = 2 * PIECE + 6  # what workers hand over is in pieces
    manifest, order = files(count, 8, 8), np.arange(count)
    wanted = views(open_source(manifest, "memory"), 4, count)
    others = (("memory", 0, True), ("files", 0, False), ("files", 2, False), ("files", 1, True), ("cache", 0, False))
    for road, workers, channels_last in others:
        other = open_source(manifest, road, workers, channels_last)
        for batch_size in (7, PIECE + 8, count):
            assert torch.equal(views(other, 4, batch_size), wanted), (road, batch_size)
        other.close()
    later = torch.cat([batch.images for batch in open_source(manifest, "files").epoch(4, order, 40, start_step=1)])
    assert torch.equal(later, wanted[40:])
    assert not torch.equal(views(open_source(manifest, "memory"), 5, count), wanted)


@pytest.mark.parametrize("kind", ["resized-crop", "window"])
def test_crops_of_whole_images_are_recoloured_alike(files: MakeManifest, kind: str) -> None:
    """By memory they come unrounded, by files as whole values, which the jitter may stretch."""
    manifest, strong = files(9, 8, 8), replace(STRONG, kind=kind, share=0.8)
    plain = replace(strong, color_jitter=0, grayscale=0)
    first, second = (views(open_source(manifest, road, kind=strong), 1, 9) for road in ("memory", "files"))
    torch.testing.assert_close(first, second, atol=0.5 * 5 / 255 / 0.22, rtol=0)  # half a value, five times as far
    for road, found in (("memory", first), ("files", second)):
        assert not torch.allclose(found, views(open_source(manifest, road, kind=plain), 1, 9), atol=0.1)


def test_what_is_measured_keeps_its_colours_and_so_does_who_asks_for_none(arrays: MakeManifest) -> None:
    manifest = arrays(6, 8)
    strong, plain = (
        ImageSource(manifest, np.arange(6), PLAIN, kind, seed=1) for kind in (STRONG, Augmentation("crop", padding=2))
    )
    pairs = zip(strong.sequential(3), plain.sequential(3), strict=True)
    assert all(torch.equal(first.images, second.images) for first, second in pairs)
    assert draw_colours(Augmentation("crop"), 0, 0, np.arange(3), CPU) is None
    assert not torch.equal(views(strong, 0, 3), views(plain, 0, 3))


@pytest.mark.parametrize("name", ["color_jitter", "grayscale"])
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_refused(name: str, value: float) -> None:
    with pytest.raises(RecipeError, match=f"{name} = .*give 0 .none. to 1"):
        Augmentation(**{name: value})  # type: ignore[arg-type]
