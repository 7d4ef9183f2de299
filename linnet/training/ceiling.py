"""What fine labels would give: the nearest training image by the features of a net, the ceiling beside learning from
descriptions."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from linnet.methods.base import BatchLike, Losses, Method, Prediction
from linnet.metrics.chance import recall_chance
from linnet.metrics.recall import recall_at_k
from linnet.training.data import TrainingData
from linnet.training.evaluate import Outputs

__all__ = ["METRIC", "Pooled", "nearest_neighbour"]

METRIC = "fine_top1_neighbour"
Rows = NDArray[np.int64]


class Pooled(Method):
    """A method's backbone alone: its pooled features as embedding; nothing to learn."""

    needs = frozenset()
    selects = "coarse_recall@1"

    def losses(self, batch: BatchLike) -> Iterator[Losses]:
        """None."""
        yield from ()

    def predict(self, images: Tensor) -> Prediction:
        """Pooled features (B, D)."""
        return Prediction(self.backbone(images))


def nearest_neighbour(
    method: Method, data: TrainingData, rows: Rows, said: Callable[[Method, Rows], Outputs]
) -> tuple[float, float] | None:
    """Accuracy of the fine label of the nearest training image, and what chance scores, both in percent.

    Nearest by cosine between pooled features of the method's backbone as it stands, heads left aside: for a frozen net
    those of its start weights. A class that ties with the nearest image of the true one stands before it.

    Args:
        method: whose backbone it is.
        data: where the labels are.
        rows: (n,) the images to name.
        said: what a method says of rows of the manifest.

    Returns:
        None where the two levels are one, or a fine class of `rows` has no labelled training image: then it is no
        ceiling.
    """
    train = data.rows["train"][data.fine_known("train")]
    labels, known = data.manifest.targets[rows, data.fine], data.manifest.targets[train, data.fine]
    if data.coarse == data.fine or not (labels >= 0).any() or len(np.setdiff1d(labels[labels >= 0], known)):
        return None
    features = said(Pooled(method.backbone, method.task), np.concatenate([train, rows])).embedding
    gallery, queries = features[: len(train)], features[len(train) :]
    gallery_labels = torch.from_numpy(known)
    figure = recall_at_k(queries, torch.from_numpy(labels), (1,), gallery=gallery, gallery_labels=gallery_labels)
    return figure[1], recall_chance(labels, (1,), gallery_labels=known)[1]
