"""Global contrast normalisation and ZCA whitening of small images, as a part of the net.

As a part of the net its fitted map goes wherever the weights go: checkpoints, bundles, export.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor

from linnet.backbones.base import Backbone

__all__ = ["FILTER_BIAS", "SCALE", "Whitened", "global_contrast", "whitened"]

SCALE = 55.0
"""Euclidean length of a 32-pixel image after contrast normalisation (Goodfellow et al. 2013); grows with the side."""

FILTER_BIAS = 0.1
"""What ZCA adds to the variance in every direction (Goodfellow et al. 2013)."""


def global_contrast(images: Tensor) -> Tensor:
    """Each image minus its mean over all values, at length 55 * side / 32: values of deviation about 1.

    Args:
        images: (B, 3, S, S) in any unit; an image of one colour value becomes 0.

    Returns:
        (B, 3 * S * S).
    """
    given = images.flatten(1)
    flat = given - given.mean(1, keepdim=True)
    length = flat.norm(dim=1, keepdim=True)
    # The mean of equal values is off by a rounding, which must not be blown up to an image. One step of 8 bits in one
    # value of a 64-pixel image is 30 times this share of the image's own length.
    blank = length <= 1e-6 * given.norm(dim=1, keepdim=True)
    normalised: Tensor = flat.masked_fill(blank, 0) * (SCALE * images.shape[-1] / 32) / length.masked_fill(blank, 1)
    return normalised


class Whitened(Backbone):
    """A backbone behind contrast normalisation and, for "zca", a fixed linear map of the whole image.

    `zca(x) = (x - mean) (cov + 0.1 I)^(-1/2)` with the mean and covariance of the contrast-normalised training images;
    `fit` sets them, until then the map changes nothing. The map is a matrix of (3 S^2)^2 values: 38 MB at 32 px, 604 MB
    at 64 px.

    Args:
        inner: the backbone; it sees whitened images.
        size: S, the images' side.
        kind: "gcn" for contrast normalisation alone.
    """

    mean: Tensor
    matrix: Tensor

    def __init__(self, inner: Backbone, size: int, kind: Literal["gcn", "zca"]) -> None:
        super().__init__(inner.dim)
        self.start, self.kind, self.inner = inner.start, kind, inner
        if kind == "zca":
            self.register_buffer("mean", torch.zeros(3 * size * size))
            self.register_buffer("matrix", torch.eye(3 * size * size))

    def features(self, images: Tensor) -> Tensor:
        """The inner backbone's feature map of images (B, 3, S, S) of values in 0..1."""
        return self.inner.features(self.whiten(images))

    def whiten(self, images: Tensor) -> Tensor:
        """Images (B, 3, S, S) as the inner backbone sees them; float32, whatever autocast says."""
        with torch.autocast(images.device.type, enabled=False):
            flat = global_contrast(images.float())
            if self.kind == "zca":
                flat = (flat - self.mean) @ self.matrix
            return flat.reshape(images.shape)

    @torch.no_grad()
    def fit(self, batches: Iterable[Tensor]) -> None:
        """Set mean and map from training images (B, 3, S, S) without augmentation; float64 within. Nothing for "gcn".

        Raises:
            ValueError: no images.
        """
        if self.kind == "gcn":
            return
        count, total = 0, torch.zeros_like(self.mean, dtype=torch.float64)
        products = torch.zeros_like(self.matrix, dtype=torch.float64)
        for images in batches:
            flat = global_contrast(images.double())
            count, total = count + len(flat), total + flat.sum(0)
            products.addmm_(flat.T, flat)
        if not count:
            raise ValueError("no images to fit the whitening on")
        mean = total / count
        covariance = products.div_(count).sub_(torch.outer(mean, mean))
        values, vectors = torch.linalg.eigh(covariance)
        scaled = vectors * (values.clamp(min=0) + FILTER_BIAS).rsqrt()
        self.mean.copy_(mean)
        self.matrix.copy_(scaled @ vectors.T)


def whitened(inner: Backbone, kind: Literal["none", "gcn", "zca"], size: int) -> Backbone:
    """The backbone behind whitening of a kind; for "none" the backbone itself."""
    return inner if kind == "none" else Whitened(inner, size, kind)
