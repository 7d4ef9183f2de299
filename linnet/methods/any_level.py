"""`any-level` (Linnet's own): one fine softmax, and every image's label at whatever level it is known."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from pydantic import Field
from torch import Tensor

from linnet.backbones import Backbone
from linnet.losses.class_maps import ClassMaps
from linnet.losses.descendants import DescendantLoss
from linnet.losses.hierarchy import coarse_log_probabilities
from linnet.methods.base import BatchLike, Losses, Method, Need, Options, Prediction, Task, Term

__all__ = ["AnyLevel", "AnyLevelOptions"]


class AnyLevelOptions(Options):
    """Settings of `any-level`."""

    lambda_: float = Field(1.0, ge=0, alias="lambda", description="weight of images without a fine label")
    cells: int = Field(1, ge=1, description="values per class and place of the map, as min-pool has")


class AnyLevel(Method):
    """The finest label known, at any depth, is scored by the total probability of the fine classes under it.

    The loss is the mean over the batch of `-log sum over f under c of p(f | x)`, c the image's finest label; images
    whose label is not fine count `lambda` times. The head is min-pool's, so that the two differ in the loss alone.
    """

    needs = frozenset({Need.ANY_LEVEL})
    Options = AnyLevelOptions
    selects = "fine_top1"
    keeps_ratio = True
    membership: Tensor

    def __init__(self, backbone: Backbone, task: Task, options: AnyLevelOptions | None = None) -> None:
        super().__init__(backbone, task)
        self.options = options = options or AnyLevelOptions()
        told = range(task.fine_level + 1) if task.memberships else sorted({task.coarse_level, task.fine_level})
        self.loss = DescendantLoss({level: task.descendants(level) for level in told})
        self.register_buffer("membership", task.membership.clone(), persistent=False)
        self.fine_head = ClassMaps(backbone.dim, task.fine_classes, options.cells)

    def losses(self, batch: BatchLike) -> Iterator[Losses]:
        """`fine` of the images with a fine label, `coarser` of the others; each summed and divided by B."""
        losses = self.loss(self.fine_head.scores(self.backbone(batch.images)), batch.targets)
        known = batch.targets[:, self.task.fine_level] >= 0
        yield {
            "fine": Term(torch.where(known, losses, 0).sum() / len(losses)),
            "coarser": Term(torch.where(known, 0, losses).sum() / len(losses), self.options.lambda_),
        }

    def predict(self, images: Tensor) -> Prediction:
        """Embedding, fine logits, and coarse log-probabilities (the sum of the children's probabilities)."""
        embedding = self.backbone(images)
        fine = self.fine_head.scores(embedding)
        return Prediction(embedding, coarse_log_probabilities(torch.log_softmax(fine, 1), self.membership), fine)
