"""Cross-entropy on a linear head: `coarse` (Base, paper 001 Eq. 1) and `fine` (Fine, Eq. 2, the oracle)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from linnet.backbones import Backbone
from linnet.losses.hierarchy import coarse_log_probabilities
from linnet.losses.linear import LinearHead
from linnet.methods.base import BatchLike, HeadOptions, Losses, Method, Need, Prediction, Task, Term

__all__ = ["Coarse", "Fine"]


class Coarse(Method):
    """A backbone and a bias-free linear head over the coarse classes."""

    needs = frozenset({Need.COARSE})
    Options = HeadOptions
    selects = "coarse_top1"

    def __init__(self, backbone: Backbone, task: Task, options: HeadOptions | None = None) -> None:
        super().__init__(backbone, task)
        options = options or HeadOptions()
        self.coarse_head = LinearHead(backbone.dim, task.coarse_classes, options.head_temperature)

    def losses(self, batch: BatchLike) -> Iterator[Losses]:
        """`CE(W_B f(x), y_B)`."""
        logits = self.coarse_head(self.backbone(batch.images))
        yield {"coarse": Term(F.cross_entropy(logits, batch.targets[:, self.task.coarse_level]))}

    def predict(self, images: Tensor) -> Prediction:
        """Embedding and coarse logits."""
        embedding = self.backbone(images)
        return Prediction(embedding, coarse_logits=self.coarse_head(embedding))


class Fine(Method):
    """A backbone and a bias-free linear head over the fine classes; coarse classes follow by summing children."""

    needs = frozenset({Need.ALL_FINE})
    Options = HeadOptions
    selects = "fine_top1"
    membership: Tensor

    def __init__(self, backbone: Backbone, task: Task, options: HeadOptions | None = None) -> None:
        super().__init__(backbone, task)
        options = options or HeadOptions()
        self.register_buffer("membership", task.membership.clone(), persistent=False)
        self.fine_head = LinearHead(backbone.dim, task.fine_classes, options.head_temperature)

    def losses(self, batch: BatchLike) -> Iterator[Losses]:
        """`CE(W_F f(x), y_F)`."""
        logits = self.fine_head(self.backbone(batch.images))
        yield {"fine": Term(F.cross_entropy(logits, batch.targets[:, self.task.fine_level]))}

    def predict(self, images: Tensor) -> Prediction:
        """Embedding, fine logits, and coarse log-probabilities (the sum of the children's probabilities)."""
        embedding = self.backbone(images)
        fine = self.fine_head(embedding)
        return Prediction(embedding, coarse_log_probabilities(torch.log_softmax(fine, 1), self.membership), fine)
