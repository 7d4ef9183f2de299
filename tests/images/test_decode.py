"""Every colour mode and orientation to upright RGB, and torchvision's geometry to the pixel."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as torchvision_functional

from linnet.images import Augmentation, Preprocessing, jpeg
from linnet.images.augment import crop_boxes
from linnet.images.cut import crop_pixels, evaluation_pixels
from linnet.images.decode import BrokenImageError, decode, open_image, quiet, to_rgb, upright_size
from linnet.images.resize import Pixels, centre_crop, resize


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
    seen = decode(open_image(path)).astype(int)
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


def planes(pixels: Pixels) -> torch.Tensor:
    """(3, H, W), as torchvision has images."""
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)


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
    pixels = np.asarray(picture(width, height))
    resized = None if margin is None else size + margin
    kind = "bicubic" if bicubic else "bilinear"
    ours = centre_crop(pixels.copy(), Preprocessing(size, resized, interpolation=kind))  # type: ignore[arg-type]
    mode = InterpolationMode(kind)
    scaled = torchvision_functional.resize(planes(pixels), [resized or size], mode, antialias=True)
    theirs = torchvision_functional.center_crop(scaled, [size, size])
    theirs = theirs.permute(1, 2, 0).numpy()
    if max(width, height) <= 16 * min(width, height):
        np.testing.assert_array_equal(ours, theirs)
    else:  # see the next test
        assert np.abs(ours.astype(int) - theirs).max() <= 2
    by_pillow = torchvision_functional.resize(picture(width, height), [resized or size], mode)
    theirs = np.asarray(torchvision_functional.center_crop(by_pillow, [size, size]), dtype=int)
    assert np.abs(ours.astype(int) - theirs).mean() < (0.5 if size > 4 else 1.01)
    assert bicubic or np.abs(ours.astype(int) - theirs).max() <= 2  # each of two passes rounds its own way


@settings(max_examples=40)
@given(
    seed=st.integers(0, 999),
    least=st.integers(1, 30),
    times=st.floats(17, 40),
    margin=st.integers(0, 12),
    tall=st.booleans(),
    bicubic=st.booleans(),
)
def test_of_a_long_image_only_the_middle_is_enlarged(
    seed: int, least: int, times: float, margin: int, tall: bool, bicubic: bool
) -> None:
    """Noise, cut out by Pillow, is what torchvision cuts out of the whole, but for how values are rounded."""
    shape = (least, int(least * times) + 1, 3)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    pixels = np.ascontiguousarray(pixels.swapaxes(0, 1)) if tall else pixels
    kind: Any = "bicubic" if bicubic else "bilinear"
    ours = centre_crop(pixels, Preprocessing(31, 31 + margin, interpolation=kind)).astype(int)
    scaled = torchvision_functional.resize(planes(pixels), [31 + margin], InterpolationMode(kind), antialias=True)
    theirs = torchvision_functional.center_crop(scaled, [31, 31]).permute(1, 2, 0).numpy()
    assert np.abs(ours - theirs).max() <= 2 and (ours != theirs).mean() < 0.5


@pytest.mark.parametrize("shape", [(1, 1_000_000, 3), (1_000_000, 1, 3), (100, 170_000, 3)])
def test_a_very_long_image_takes_no_more_memory_than_it_has(shape: tuple[int, int, int]) -> None:
    """Enlarged as a whole the first two would have 65.5 thousand million pixels."""
    pixels = np.full(shape, 77, np.uint8)
    for kind in ("bilinear", "bicubic"):
        view = centre_crop(pixels, Preprocessing(224, 256, interpolation=kind))  # type: ignore[arg-type]
        assert view.shape == (224, 224, 3) and (view == 77).all()


def test_the_middle_of_a_long_image_is_its_middle() -> None:
    """Steps along the image: of 1 x 50,000 pixels the middle one fills the square, its neighbours reach in."""
    pixels = np.zeros((1, 50_001, 3), np.uint8)
    pixels[0, 25_000] = 255
    view = centre_crop(pixels, Preprocessing(256))
    assert (view == view[:1]).all() and (view[0] == view[0, ::-1]).all()
    assert view[0, 127, 0] >= 254 and view[0, 0, 0] == 128


@settings(max_examples=40)
@given(seed=st.integers(0, 999), bicubic=st.booleans(), data=st.data())
def test_resizing_a_box_is_resizing_it_cut_out(seed: int, bicubic: bool, data: st.DataObject) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    top, left = data.draw(st.integers(0, 29)), data.draw(st.integers(0, 39))
    tall, wide = data.draw(st.integers(1, 30 - top)), data.draw(st.integers(1, 40 - left))
    height, width = data.draw(st.integers(1, 50)), data.draw(st.integers(1, 50))
    kind: Any = "bicubic" if bicubic else "bilinear"
    ours = resize(pixels, height, width, kind, (top, left, tall, wide))
    part = np.ascontiguousarray(pixels[top : top + tall, left : left + wide])
    np.testing.assert_array_equal(ours, resize(part, height, width, kind))
    if not bicubic:  # which between two passes is cut off at 0 and 255, and noise goes beyond
        pillow = np.asarray(Image.fromarray(part).resize((width, height), Image.Resampling.BILINEAR), dtype=int)
        assert np.abs(ours.astype(int) - pillow).max() <= 2


def test_the_resized_crop_is_torchvisions(tmp_path: Path) -> None:
    image = picture(90, 60)
    image.save(tmp_path / "photo.png")
    augmentation = Augmentation("resized-crop")
    paths = [tmp_path / "photo.png"] * 8
    views = crop_pixels(paths, Preprocessing(16), augmentation, seed=3, epoch=1, positions=np.arange(8))
    for position, ours in enumerate(views):
        top, left, tall, wide = crop_boxes(augmentation, 3, 1, position, 60, 90)[0].tolist()
        whole = planes(np.asarray(image))
        theirs = torchvision_functional.resized_crop(whole, top, left, tall, wide, [16, 16], antialias=True)
        np.testing.assert_array_equal(ours, theirs.permute(1, 2, 0).numpy())


def test_a_damaged_png_is_not_cut_out_of_as_a_black_one(tmp_path: Path) -> None:
    """Its EXIF may lie behind its pixels, so that asking for its upright size decodes it."""
    values = np.random.Generator(np.random.PCG64(0)).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(values).save(tmp_path / "whole.png")
    content = bytearray((tmp_path / "whole.png").read_bytes())
    start = content.index(b"IDAT") + 40
    content[start : start + 40] = bytes(40)
    (tmp_path / "damaged.png").write_bytes(content)
    with pytest.raises(BrokenImageError):
        upright_size(open_image(tmp_path / "damaged.png"))
    paths, crop = [tmp_path / "damaged.png", tmp_path / "whole.png"], Augmentation("resized-crop")
    damaged, whole = crop_pixels(paths, Preprocessing(16), crop, 0, 0, np.arange(2))
    assert isinstance(damaged, BrokenImageError) and not isinstance(whole, BrokenImageError)


def test_a_window_is_cut_from_the_image_at_its_shorter_side(tmp_path: Path) -> None:
    """256 to 224 as AlexNet's; here 64 to 56 of an image that is exactly twice as large."""
    image = picture(192, 128)
    image.save(tmp_path / "photo.png")
    augmentation = Augmentation("window", share=56 / 64)
    paths = [tmp_path / "photo.png"] * 8
    scaled = centre_crop(np.array(image), Preprocessing(64))  # the middle third is enough to compare with
    whole = resize(np.array(image), 64, 96)
    np.testing.assert_array_equal(scaled, whole[:, 16:80])
    for position, ours in enumerate(crop_pixels(paths, Preprocessing(56, 64), augmentation, 3, 1, np.arange(8))):
        top, left, tall, wide = crop_boxes(augmentation, 3, 1, position, 128, 192)[0].tolist()
        assert (tall, wide) == (112, 112)
        assert not isinstance(ours, BrokenImageError)
        if top % 2 == left % 2 == 0:
            inside = ours[2:-2, 2:-2].astype(int)  # at its edge a window sees nothing beyond
            theirs = whole[top // 2 :, left // 2 :][:56, :56][2:-2, 2:-2].astype(int)
            assert np.abs(inside - theirs).max() <= 1


def test_a_jpeg_decoded_at_a_smaller_scale_looks_the_same(tmp_path: Path) -> None:
    image = picture(800, 600)
    image.save(tmp_path / "large.jpg", quality=95)
    assert decode(open_image(tmp_path / "large.jpg"), reduce=4.5).shape == (150, 200, 3)
    preprocessing = Preprocessing(64, 72)
    quick = evaluation_pixels(tmp_path / "large.jpg", preprocessing).astype(int)
    whole = centre_crop(decode(open_image(tmp_path / "large.jpg")), preprocessing).astype(int)
    assert np.abs(quick - whole).mean() < 2
    crop = Augmentation("resized-crop", scale=(0.9, 1.0))
    (part,) = crop_pixels([tmp_path / "large.jpg"], Preprocessing(64), crop, 0, 0, np.arange(1))
    top, left, tall, wide = crop_boxes(crop, 0, 0, 0, 600, 800)[0].tolist()
    box = resize(np.array(image), 64, 64, box=(top, left, tall, wide)).astype(int)
    assert not isinstance(part, BrokenImageError)
    assert np.abs(part.astype(int) - box).mean() < 2


def encoded(image: Image.Image, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", **options)
    return stream.getvalue()


def noisy() -> Image.Image:
    rng = np.random.default_rng(0)
    smooth = picture(203, 151).resize((203, 151), Image.Resampling.BICUBIC)
    return Image.fromarray(np.clip(np.asarray(smooth) + rng.normal(0, 12, (151, 203, 3)), 0, 255).astype(np.uint8))


def by_both_decoders(path: Path, reduce: float, monkeypatch: pytest.MonkeyPatch) -> list[Pixels | str]:
    """What Pillow alone makes of a file, and with simplejpeg; a text says why it is broken."""
    told: list[Pixels | str] = []
    for fast in (None, jpeg._simplejpeg):
        monkeypatch.setattr(jpeg, "_simplejpeg", fast)
        try:
            told.append(decode(open_image(path), reduce))
        except BrokenImageError as error:
            told.append(str(error))
    return told


fast_only = pytest.mark.skipif(jpeg._simplejpeg is None, reason="simplejpeg (the extra 'fast') is not installed")


@fast_only
@pytest.mark.parametrize("reduce", [1.0, 2.0, 3.3, 5.9, 11.0])
@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("RGB", {"quality": 50, "subsampling": 2}),
        ("RGB", {"quality": 93, "subsampling": 1}),
        ("RGB", {"quality": 95, "subsampling": 0}),
        ("RGB", {"progressive": True}),
        ("RGB", {"keep_rgb": True}),
        ("RGB", {"restart_marker_rows": 1}),
        ("L", {}),
        ("L", {"progressive": True}),
        ("CMYK", {}),
    ],
)
def test_both_decoders_give_the_same_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, options: dict[str, Any], reduce: float
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "photo.jpg").write_bytes(encoded(noisy().convert(mode), exif=exif, **options))
    used: list[str] = []
    inner = jpeg._simplejpeg.decode_jpeg

    class Noting:
        @staticmethod
        def decode_jpeg(*given: Any, **named: Any) -> Any:
            used.append(mode)
            return inner(*given, **named)

    monkeypatch.setattr(jpeg, "_simplejpeg", Noting)
    pillow, fast = by_both_decoders(tmp_path / "photo.jpg", reduce, monkeypatch)
    np.testing.assert_array_equal(pillow, fast)
    assert bool(used) == (mode != "CMYK")  # or the comparison says nothing
    assert pillow.shape[0] > pillow.shape[1]  # type: ignore[union-attr]


@fast_only
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), cut=st.booleans())
def test_a_damaged_jpeg_is_the_same_to_both_decoders(
    tmp_path_factory: pytest.TempPathFactory, seed: int, cut: bool
) -> None:
    """Cut short, or with one byte changed: the same pixels, or the same reason for none."""
    rng = np.random.default_rng(seed)
    data = bytearray(encoded(noisy(), progressive=bool(seed % 2)))
    if cut:
        del data[int(rng.integers(1, len(data))) :]
    else:
        data[int(rng.integers(2, len(data)))] = int(rng.integers(0, 256))
    path = tmp_path_factory.mktemp("damaged") / "photo.jpg"
    path.write_bytes(data)
    with quiet(), pytest.MonkeyPatch.context() as monkeypatch:
        pillow, fast = by_both_decoders(path, 1.0, monkeypatch)
    assert type(pillow) is type(fast)
    np.testing.assert_array_equal(pillow, fast)


def test_the_decoder_says_its_name() -> None:
    assert "Pillow" in jpeg.decoder_name()
    assert ("simplejpeg" in jpeg.decoder_name()) == (jpeg._simplejpeg is not None)


def test_warnings_of_pillow_stay_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture().save(tmp_path / "photo.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 700)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with quiet(), pytest.raises(BrokenImageError, match="40 x 24 pixels are more than the limit of 700"):
            open_image(tmp_path / "photo.png")
