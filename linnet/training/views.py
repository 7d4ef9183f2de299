"""What a method says of an image, averaged over views of it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import Tensor

from linnet.images import Preprocessing
from linnet.methods.base import Method, Prediction

__all__ = ["predict_views", "whole_square"]


def whole_square(preprocessing: Preprocessing) -> Preprocessing:
    """The preprocessing that stops short of the centre crop: the square that views are cut from."""
    return replace(preprocessing, size=preprocessing.short_side, resize=None)


def predict_views(method: Method, views: Iterable[Tensor]) -> Prediction:
    """The mean of the embeddings, and as logits the logarithm of the mean probability of every class; float32.

    Args:
        method: in eval mode.
        views: each (B, 3, H, W), image i of one being image i of the others.
    """
    answers = [method.predict(view) for view in views]
    return Prediction(
        torch.stack([answer.embedding.float() for answer in answers]).mean(0),
        _log_mean([answer.coarse_logits for answer in answers]),
        _log_mean([answer.fine_logits for answer in answers]),
    )


def _log_mean(logits: list[Tensor | None]) -> Tensor | None:
    known = [torch.log_softmax(each.float(), 1) for each in logits if each is not None]
    return torch.logsumexp(torch.stack(known), 0) - math.log(len(known)) if known else None
