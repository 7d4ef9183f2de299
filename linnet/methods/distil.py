"""`distil` (Linnet's own use of Hinton et al. 2015): an ensemble, or any finished run, folded into one model."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from linnet.backbones import Backbone
from linnet.losses.distillation import soft_target_loss
from linnet.losses.hierarchy import coarse_log_probabilities
from linnet.losses.linear import LinearHead
from linnet.methods.base import BatchLike, Losses, Method, Need, Options, Prediction, Task, Term

__all__ = ["Distil", "DistilOptions"]


class DistilOptions(Options):
    """Settings of `distil`."""

    teacher: str = Field("", description="folder of a finished run, or of its bundle; {seed} in it is this run's seed")
    temperature: float = Field(4.0, gt=0, description="what both sides' logits are divided by")
    weight: float = Field(0.9, ge=0, le=1, description="share of the soft targets; the rest goes to the fine labels")


class Distil(Method):
    """One net with a linear head, as method `fine` has, that learns a teacher's probabilities of the same images.

    The loss is `w T^2 KL(teacher || student) + (1 - w) CE(y)`. Images without a fine label add nothing to the second
    term, but count in its mean; with w = 1 no labels are looked at. The teacher sees the student's own augmented
    images, in the precision of training; it is no part of the state, neither of checkpoints nor of the bundle.
    """

    needs = frozenset({Need.TEACHER})
    Options = DistilOptions
    selects = "fine_top1"
    membership: Tensor

    def __init__(self, backbone: Backbone, task: Task, options: DistilOptions | None = None) -> None:
        super().__init__(backbone, task)
        self.options = options or DistilOptions()
        self.register_buffer("membership", task.membership.clone(), persistent=False)
        self.fine_head = LinearHead(backbone.dim, task.fine_classes)

    def losses(self, batch: BatchLike) -> Iterator[Losses]:
        """`soft` and, where the weight leaves it a share, `fine`."""
        assert self.task.teacher is not None, "a method that only predicts has no teacher"
        logits, weight = self.fine_head(self.backbone(batch.images)), self.options.weight
        soft = soft_target_loss(logits, self.task.teacher(batch.images), self.options.temperature)
        terms = {"soft": Term(soft, weight)}
        if weight < 1:
            known = batch.targets[:, self.task.fine_level]
            fine = F.cross_entropy(logits, known, ignore_index=-1, reduction="sum") / len(known)
            terms["fine"] = Term(fine, 1 - weight)
        yield terms

    def predict(self, images: Tensor) -> Prediction:
        """Embedding, fine logits, and coarse log-probabilities (the sum of the children's probabilities)."""
        embedding = self.backbone(images)
        fine = self.fine_head(embedding)
        return Prediction(embedding, coarse_log_probabilities(torch.log_softmax(fine, 1), self.membership), fine)
