"""Every colour mode and orientation to upright RGB, and torchvision's geometry to the pixel."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from torchvision.transforms import functional as torchvision_functional

from linnet.images import Augmentation, Preprocessing
from linnet.images.augment import resized_crop_boxes
from linnet.images.decode import (
    BrokenImageError,
    centre_crop,
    decode,
    evaluation_pixels,
    open_image,
    quiet,
    resized_crop_pixels,
    to_rgb,
    upright_size,
)


def picture(width: int = 40, height: int = 24) -> Image.Image:
    """A picture without symmetry: red, a green block at the left, a blue one at the top right."""
    image = Image.new("RGB", (width, height), (200, 40, 40))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, width // 5, height - 1), fill=(30, 180, 30))
    draw.rectangle((width // 2, 0, width - 1, height // 4), fill=(20, 20, 220))
    return image


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_obeyed(tmp_path: Path, orientation: int, suffix: str) -> None:
    upright = picture()
    back = {  # how a camera held that way stores the upright picture
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    stored = upright.transpose(back) if back is not None else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"photo{suffix}"
    if suffix == ".jpg":
        stored.save(path, exif=exif, quality=95, subsampling=0)
    else:
        stored.save(path, exif=exif)
    with open_image(path) as image:
        assert upright_size(image) == upright.size
    seen = np.asarray(decode(open_image(path)), dtype=int)
    assert seen.shape == (24, 40, 3)
    assert np.abs(seen - np.asarray(upright, dtype=int)).mean() < 8


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "HSV"])
def test_modes_become_rgb(mode: str) -> None:
    image = picture().convert(mode)
    np.testing.assert_array_equal(np.asarray(to_rgb(image)), np.asarray(image.convert("RGB")))


def test_transparency_lies_over_white(tmp_path: Path) -> None:
    clear = picture().convert("RGBA")
    clear.putalpha(0)
    for mode in ("RGBA", "LA", "RGBa"):
        assert set(np.unique(np.asarray(to_rgb(clear.convert(mode))))) == {255}
    palette = picture().convert("P")
    palette.save(tmp_path / "palette.png", transparency=palette.getpixel((39, 23)))
    seen = np.asarray(decode(open_image(tmp_path / "palette.png")))
    assert (seen[23, 39] == 255).all() and (seen[12, 2] != 255).any()
    picture().save(tmp_path / "key.png", transparency=(200, 40, 40))
    assert (np.asarray(decode(open_image(tmp_path / "key.png")))[23, 39] == 255).all()


def test_wide_greys_are_scaled(tmp_path: Path) -> None:
    values = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    wanted = np.rint(values / 257).astype(np.uint8)
    for suffix in (".png", ".tif"):
        Image.fromarray(values).save(tmp_path / f"wide{suffix}")
        seen = np.asarray(decode(open_image(tmp_path / f"wide{suffix}")))
        np.testing.assert_array_equal(seen, np.repeat(wanted[:, :, None], 3, 2))
    unit = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    Image.fromarray(unit).save(tmp_path / "float.tif")
    seen = np.asarray(decode(open_image(tmp_path / "float.tif")))
    np.testing.assert_array_equal(seen[:, :, 0], np.rint(unit * 255))
    unit[0, 0] = np.nan
    Image.fromarray(unit).save(tmp_path / "nan.tif")
    with pytest.raises(BrokenImageError, match="not finite"):
        decode(open_image(tmp_path / "nan.tif"))


def test_the_first_frame_counts(tmp_path: Path) -> None:
    first, second = picture(), Image.new("RGB", (40, 24), "white")
    first.save(tmp_path / "moving.tif", save_all=True, append_images=[second])
    np.testing.assert_array_equal(np.asarray(decode(open_image(tmp_path / "moving.tif"))), np.asarray(first))


@settings(max_examples=60)
@given(
    width=st.integers(1, 120),
    height=st.integers(1, 120),
    size=st.integers(1, 40),
    margin=st.one_of(st.none(), st.integers(0, 12)),
    bicubic=st.booleans(),
)
def test_the_evaluation_view_is_torchvisions(
    width: int, height: int, size: int, margin: int | None, bicubic: bool
) -> None:
    image = picture(width, height)
    resize = None if margin is None else size + margin
    kind = "bicubic" if bicubic else "bilinear"
    ours = centre_crop(image, Preprocessing(size, resize, interpolation=kind))  # type: ignore[arg-type]
    mode = torchvision_functional.InterpolationMode(kind)
    scaled = torchvision_functional.resize(image, [resize or size], mode)
    theirs = torchvision_functional.center_crop(scaled, [size, size])
    np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


def test_the_resized_crop_is_torchvisions(tmp_path: Path) -> None:
    image = picture(90, 60)
    image.save(tmp_path / "photo.png")
    augmentation = Augmentation("resized-crop")
    for position in range(8):
        ours = resized_crop_pixels(
            tmp_path / "photo.png", Preprocessing(16), augmentation, seed=3, epoch=1, position=position
        )
        top, left, tall, wide = resized_crop_boxes(augmentation, 3, 1, position, 60, 90)[0].tolist()
        theirs = torchvision_functional.resized_crop(image, top, left, tall, wide, [16, 16])
        np.testing.assert_array_equal(ours, np.asarray(theirs))


def test_a_jpeg_decoded_at_a_smaller_scale_looks_the_same(tmp_path: Path) -> None:
    image = picture(800, 600)
    image.save(tmp_path / "large.jpg", quality=95)
    assert decode(open_image(tmp_path / "large.jpg"), reduce=4.5).size == (200, 150)
    preprocessing = Preprocessing(64, 72)
    quick = evaluation_pixels(tmp_path / "large.jpg", preprocessing).astype(int)
    whole = np.asarray(centre_crop(decode(open_image(tmp_path / "large.jpg")), preprocessing), dtype=int)
    assert np.abs(quick - whole).mean() < 2
    crop = Augmentation("resized-crop", scale=(0.9, 1.0))
    part = resized_crop_pixels(tmp_path / "large.jpg", Preprocessing(64), crop, seed=0, epoch=0, position=0)
    top, left, tall, wide = resized_crop_boxes(crop, 0, 0, 0, 600, 800)[0].tolist()
    box = image.crop((left, top, left + wide, top + tall)).resize((64, 64), Image.Resampling.BILINEAR)
    assert np.abs(part.astype(int) - np.asarray(box, dtype=int)).mean() < 2


def test_warnings_of_pillow_stay_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture().save(tmp_path / "photo.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 700)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with quiet(), pytest.raises(BrokenImageError, match="40 x 24 pixels are more than the limit of 700"):
            open_image(tmp_path / "photo.png")
