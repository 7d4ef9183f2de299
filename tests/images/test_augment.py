"""Batched augmentation against one image at a time, and against torchvision's rules."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from linnet.errors import RecipeError
from linnet.images import Augmentation, ImageSource, Preprocessing
from linnet.images.augment import crop_boxes, resized_crop
from tests.images.conftest import MakeManifest
from tests.reference.crop import augmented

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize(("padding", "flip"), [(4, True), (0, True), (3, False)])
def test_pad_crop_equals_the_literal_loop(arrays: MakeManifest, padding: int, flip: bool, channels_last: bool) -> None:
    manifest = arrays(12, 8)
    source = ImageSource(
        manifest,
        np.arange(12),
        Preprocessing(8, mean=MEAN, std=STD),
        Augmentation("crop", padding=padding, flip=flip),
        seed=5,
        channels_last=channels_last,
    )
    order = np.random.default_rng(1).permutation(12)
    assert manifest.pixels is not None
    for batch in source.epoch(3, order, 5):
        assert batch.images.is_contiguous(
            memory_format=torch.channels_last if channels_last else torch.contiguous_format
        )
        for image, position in zip(batch.images, batch.index.tolist(), strict=True):
            wanted = augmented(manifest.pixels[position], padding, flip, 5, 3, position, MEAN, STD)
            np.testing.assert_allclose(image.numpy(), wanted, atol=2e-6)


def test_flips_and_offsets_are_uniform(arrays: MakeManifest) -> None:
    manifest = arrays(1, 4)
    source = ImageSource(manifest, np.arange(1), Preprocessing(4), Augmentation("crop", padding=1), seed=0)
    order = np.zeros(1, np.int64)
    seen = {next(source.epoch(epoch, order, 1)).images.numpy().tobytes() for epoch in range(400)}
    assert len(seen) == 18  # 3 x 3 offsets, flipped or not


@given(
    seed=st.integers(0, 99),
    height=st.integers(1, 400),
    width=st.integers(1, 400),
    low=st.floats(0.01, 1.0),
    narrow=st.floats(0.2, 1.0),
)
def test_crop_boxes_lie_inside_and_keep_scale_and_ratio(
    seed: int, height: int, width: int, low: float, narrow: float
) -> None:
    augmentation = Augmentation("resized-crop", scale=(low, 1.0), ratio=(narrow, 1 / narrow))
    boxes = crop_boxes(augmentation, seed, 0, np.arange(64), height, width)
    top, left, tall, wide = boxes.T
    assert (top >= 0).all() and (left >= 0).all() and (tall >= 1).all() and (wide >= 1).all()
    assert (top + tall <= height).all() and (left + wide <= width).all()
    alone = crop_boxes(augmentation, seed, 0, 7, height, width)
    np.testing.assert_array_equal(alone[0], boxes[7])
    if min(height, width) > 100:  # where rounding to pixels is small
        rounding = 1 + 2 / np.minimum(tall, wide)
        assert ((wide / tall <= rounding / narrow) & (wide / tall >= narrow / rounding)).all()


def test_crop_boxes_follow_torchvisions_distribution() -> None:
    from torchvision.transforms import RandomResizedCrop

    augmentation = Augmentation("resized-crop", scale=(0.2, 0.9))
    ours = crop_boxes(augmentation, 0, 0, np.arange(4000), 120, 200)
    image = torch.zeros(3, 120, 200)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = [RandomResizedCrop.get_params(image, [0.2, 0.9], [3 / 4, 4 / 3]) for _ in range(4000)]
    for quantile in (0.1, 0.5, 0.9):
        np.testing.assert_allclose(np.quantile(ours, quantile, axis=0), np.quantile(theirs, quantile, axis=0), atol=5)


@given(seed=st.integers(0, 99), height=st.integers(1, 400), width=st.integers(1, 400), share=st.floats(0.01, 1.0))
def test_a_window_is_a_square_of_its_share_anywhere(seed: int, height: int, width: int, share: float) -> None:
    boxes = crop_boxes(Augmentation("window", share=share), seed, 0, np.arange(64), height, width)
    side = max(1, round(share * min(height, width)))
    assert (boxes[:, 2:] == side).all()
    assert (boxes[:, :2] >= 0).all() and (boxes[:, :2] <= [height - side, width - side]).all()
    if height - side < 3:  # each of four rows or less is missed by 64 draws once in 10^8 times
        assert set(boxes[:, 0]) == set(range(height - side + 1))


def test_a_box_that_never_fits_becomes_the_largest_allowed() -> None:
    box = crop_boxes(Augmentation("resized-crop", scale=(1.0, 1.0)), 0, 0, 0, 300, 30)[0]
    np.testing.assert_array_equal(box, [130, 0, 40, 30])


@settings(max_examples=20)
@given(seed=st.integers(0, 1000), side=st.integers(4, 40), size=st.integers(2, 24))
def test_batched_resized_crop_equals_pillow(seed: int, side: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (3, side, side, 3), dtype=np.uint8)
    boxes = crop_boxes(Augmentation("resized-crop"), seed, 0, np.arange(3), side, side)
    ours = resized_crop(torch.from_numpy(pixels).permute(0, 3, 1, 2), boxes, size)
    for image, (top, left, tall, wide), cut in zip(pixels, boxes.tolist(), ours, strict=True):
        part = Image.fromarray(image).crop((left, top, left + wide, top + tall))
        wanted = np.asarray(part.resize((size, size), Image.Resampling.BILINEAR), dtype=np.float32)
        np.testing.assert_allclose(cut.permute(1, 2, 0).numpy(), wanted, atol=1.6)  # Pillow rounds twice


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"kind": "crp"}, "did you mean 'crop'"),
        ({"padding": -1}, "padding = -1"),
        ({"scale": (0.0, 1.0)}, "scale"),
        ({"ratio": (2.0, 1.0)}, "ratio"),
    ],
)
def test_settings_out_of_range_are_named(options: dict[str, object], text: str) -> None:
    with pytest.raises(RecipeError, match=text):
        Augmentation(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"size": 0}, "size = 0"),
        ({"size": 32, "resize": 16}, "resize = 16"),
        ({"size": 32, "std": (1.0, 0.0, 1.0)}, "std"),
        ({"size": 32, "interpolation": "cubic"}, "did you mean 'bicubic'"),
    ],
)
def test_preprocessing_out_of_range_is_named(options: dict[str, object], text: str) -> None:
    with pytest.raises(RecipeError, match=text):
        Preprocessing(**options)  # type: ignore[arg-type]


def test_settings_survive_json() -> None:
    import json

    preprocessing = Preprocessing(160, 182, MEAN, STD, "bicubic")
    augmentation = Augmentation("resized-crop", scale=(0.3, 0.9))
    assert Preprocessing.from_json(json.loads(json.dumps(preprocessing.to_json()))) == preprocessing
    assert Augmentation.from_json(json.loads(json.dumps(augmentation.to_json()))) == augmentation
    with pytest.raises(RecipeError, match="did you mean 'resize'"):
        Preprocessing.from_json({"size": 3, "resiz": 4})
    with pytest.raises(RecipeError, match="'size' is missing"):
        Preprocessing.from_json({"resize": 4})
