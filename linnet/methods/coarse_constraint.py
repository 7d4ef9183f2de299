"""`coarse-constraint` (paper 003): fine labels for all images, and the hierarchy as a second target."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from linnet.backbones import Backbone
from linnet.losses.hierarchy import coarse_log_probabilities
from linnet.losses.linear import LinearHead
from linnet.losses.multi_hot import multi_hot_cross_entropy
from linnet.methods.base import BatchLike, HeadOptions, Losses, Method, Need, Prediction, Task, Term

__all__ = ["CoarseConstraint", "CoarseConstraintOptions"]


class CoarseConstraintOptions(HeadOptions):
    """Settings of `coarse-constraint`."""

    variant: Literal["paper"] = Field("paper", description="the paper's way; no code of the authors is known")
    a: float = Field(1.0, ge=0, description="weight of the softmax cross-entropy on fine labels")
    b: float = Field(1.0, ge=0, description="weight of the binary cross-entropy on coarse labels; 0 is method 'fine'")
    reduction: Literal["mean", "sum"] = Field("mean", description="of the binary cross-entropy over the fine classes")
    probabilities: Literal["sigmoid", "softmax"] = Field(
        "sigmoid", description="what the binary cross-entropy takes from the logits; 'softmax' reads the text literally"
    )


class CoarseConstraint(Method):
    """One linear head over the fine classes; its F logits z serve both losses.

    The loss is `a CE(softmax(z), y) + b BCE(p(z), m)`, the mean over the batch, m the multi-hot union of all fine
    classes under the coarse class of y.
    """

    needs = frozenset({Need.ALL_FINE})
    Options = CoarseConstraintOptions
    selects = "fine_top1"
    membership: Tensor
    parent: Tensor

    def __init__(self, backbone: Backbone, task: Task, options: CoarseConstraintOptions | None = None) -> None:
        super().__init__(backbone, task)
        self.options = options = options or CoarseConstraintOptions()
        self.register_buffer("membership", task.membership.clone(), persistent=False)
        self.register_buffer("parent", task.membership.int().argmax(0), persistent=False)
        self.fine_head = LinearHead(backbone.dim, task.fine_classes, options.head_temperature)

    def losses(self, batch: BatchLike) -> Iterator[Losses]:
        """`fine` and, where b is not 0, `coarse`."""
        logits = self.fine_head(self.backbone(batch.images))
        label = batch.targets[:, self.task.fine_level]
        terms = {"fine": Term(F.cross_entropy(logits, label), self.options.a)}
        if self.options.b > 0:
            multi_hot = self.membership[self.parent[label]]
            constraint = multi_hot_cross_entropy(logits, multi_hot, self.options.probabilities, self.options.reduction)
            terms["coarse"] = Term(constraint, self.options.b)
        yield terms

    def predict(self, images: Tensor) -> Prediction:
        """Embedding, fine logits, and coarse log-probabilities (the sum of the children's probabilities)."""
        embedding = self.backbone(images)
        fine = self.fine_head(embedding)
        return Prediction(embedding, coarse_log_probabilities(torch.log_softmax(fine, 1), self.membership), fine)
