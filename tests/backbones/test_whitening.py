"""Contrast normalisation and ZCA against their definitions, one image and one entry at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from linnet.backbones import build_backbone
from linnet.backbones.whitening import Whitened, global_contrast, whitened
from linnet.randomness import seeded


def pictures(count: int, size: int) -> Tensor:
    """Images in 0..1 whose neighbouring pixels are alike."""
    with seeded(0, "pictures"):
        coarse = torch.rand(count, 3, size // 2, size // 2)
        return 0.8 * coarse.repeat_interleave(2, 2).repeat_interleave(2, 3) + 0.2 * torch.rand(count, 3, size, size)


def net(size: int = 8, kind: str = "zca") -> Whitened:
    with seeded(0, "net"):
        made = whitened(build_backbone("cifar-resnet10", width=4), kind, size)  # type: ignore[arg-type]
    assert isinstance(made, Whitened)
    return made


def test_contrast_normalisation_is_its_definition() -> None:
    images = pictures(3, 32)
    for image, flat in zip(images.double(), global_contrast(images.double()), strict=True):
        centred = image.numpy().ravel() - image.numpy().mean()
        np.testing.assert_allclose(flat, centred / (np.sqrt((centred**2).sum()) / 55))
    torch.testing.assert_close(global_contrast(images * 37 + 5), global_contrast(images), rtol=1e-3, atol=1e-3)
    assert global_contrast(pictures(2, 8)).std().item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("size", [8, 32, 64])
def test_an_image_of_one_colour_value_has_no_contrast(size: int) -> None:
    """Each of the 256 values: the roundings of its mean are no image. A single step of one value is."""
    blank = (torch.arange(256.0) / 255)[:, None, None, None].expand(-1, 3, size, size).contiguous()
    assert float(global_contrast(blank).abs().max()) == 0.0
    blank[:, 1, 2, 3] = ((torch.arange(256.0) - 1).abs() / 255).to(blank.dtype)
    lengths = global_contrast(blank).norm(dim=1)
    torch.testing.assert_close(lengths, torch.full((256,), 55.0 * size / 32), rtol=1e-4, atol=0)


def test_zca_is_its_definition() -> None:
    images, made = pictures(60, 8), net()
    made.fit(images.split(25))
    flat = global_contrast(images.double()).numpy()
    covariance = np.cov(flat, rowvar=False, bias=True) + 0.1 * np.eye(192)
    values, vectors = np.linalg.eigh(covariance)
    matrix = vectors @ np.diag(1 / np.sqrt(values)) @ vectors.T
    np.testing.assert_allclose(made.matrix, matrix, atol=1e-5)
    np.testing.assert_allclose(made.whiten(images).flatten(1), (flat - flat.mean(0)) @ matrix, atol=1e-3)


def test_whitened_images_have_no_correlations_left() -> None:
    images, made = pictures(2000, 8), net()
    made.fit([images])
    before, after = np.cov(global_contrast(images).numpy().T), np.cov(made.whiten(images).flatten(1).numpy().T)
    values = np.linalg.eigvalsh(before)
    np.testing.assert_allclose(np.linalg.eigvalsh(after), np.sort(values / (values + 0.1)), atol=0.01)
    np.testing.assert_allclose(after, after.T, atol=1e-4)


@pytest.mark.parametrize("kind", ["gcn", "zca"])
def test_the_net_sees_whitened_images_in_any_precision_and_layout(kind: str) -> None:
    images, made = pictures(4, 8), net(kind=kind).eval()
    made.fit([images])
    with torch.no_grad():
        expected = made.inner(made.whiten(images))
        torch.testing.assert_close(made(images), expected)
        torch.testing.assert_close(made(images.to(memory_format=torch.channels_last)), expected)
        with torch.autocast("cpu", torch.bfloat16):
            assert made.whiten(images).dtype == torch.float32
    assert made.start == "scratch" and made.dim == made.inner.dim
    assert {"mean", "matrix"} <= set(made.state_dict()) or kind == "gcn"
    program = torch.export.export(made, (images,))
    torch.testing.assert_close(program.module()(images), expected, rtol=1e-4, atol=1e-4)


def test_an_unfitted_map_changes_nothing_and_no_images_are_no_fit() -> None:
    images, made = pictures(2, 8), net()
    torch.testing.assert_close(made.whiten(images).flatten(1), global_contrast(images))
    with pytest.raises(ValueError, match="no images"):
        made.fit([])
