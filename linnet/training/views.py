"""Views of an image, and what a method says of it, averaged over them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from linnet.images import Preprocessing
from linnet.images.views import ten_views
from linnet.methods.base import Method, Prediction
from linnet.training.feature_source import FeatureSource
from linnet.training.source import Source

__all__ = ["predict_views", "view_batches", "whole_square"]


def whole_square(preprocessing: Preprocessing) -> Preprocessing:
    """The preprocessing that stops short of the centre crop: the square that views are cut from."""
    return replace(preprocessing, size=preprocessing.short_side, resize=None)


def view_batches(
    source: Source, batch_size: int, positions: NDArray[np.int64], count: int, size: int
) -> Iterator[Iterable[Tensor]]:
    """Batches of images as views: 1, the image; 2, it and its mirror image; 10, see `images.views.ten_views`.

    Args:
        positions: of the images in the source, in the order wanted.
        count: 1, 2 or 10; feature maps in place of images have no other views than 2.
        size: of a view, pixels, where there are ten; the source's images are then larger squares.
    """
    if count == 2 and isinstance(source, FeatureSource):
        both = (source.sequential(batch_size, positions, mirrored=mirrored) for mirrored in (False, True))
        yield from ((straight.images, mirrored.images) for straight, mirrored in zip(*both, strict=True))
        return
    for batch in source.sequential(batch_size, positions):
        if count == 10:
            yield ten_views(batch.images, size)
        else:
            yield (batch.images, batch.images.flip(3))[:count]


def predict_views(method: Method, views: Iterable[Tensor]) -> Prediction:
    """The mean of the embeddings, and as logits the logarithm of the mean probability of every class; float32.

    Of one view, what the method says of it.

    Args:
        method: in eval mode.
        views: each (B, 3, H, W), image i of one being image i of the others.
    """
    answers = [method.predict(view) for view in views]
    if len(answers) == 1:
        return answers[0]
    return Prediction(
        torch.stack([answer.embedding.float() for answer in answers]).mean(0),
        _log_mean([answer.coarse_logits for answer in answers]),
        _log_mean([answer.fine_logits for answer in answers]),
    )


def _log_mean(logits: list[Tensor | None]) -> Tensor | None:
    known = [torch.log_softmax(each.float(), 1) for each in logits if each is not None]
    return torch.logsumexp(torch.stack(known), 0) - math.log(len(known)) if known else None
