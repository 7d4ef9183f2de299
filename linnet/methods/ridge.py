"""`ridge`: regression in closed form from frozen features to attributes, the control for learning from descriptions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import torch
from pydantic import BeforeValidator, Field
from torch import Tensor
from torch.nn import functional as F

from linnet.backbones import Backbone
from linnet.losses.linear import in_full_precision
from linnet.losses.ridge import RidgeSums
from linnet.losses.semantic import cosine_scores
from linnet.methods.base import BatchLike, Losses, Method, Need, Options, Prediction, Stage, Task

__all__ = ["Ridge", "RidgeOptions"]

_Strengths = Annotated[
    tuple[Annotated[float, Field(gt=0)], ...],
    Field(min_length=1),
    BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value),
]


class RidgeOptions(Options):
    """Settings of `ridge`."""

    strengths: _Strengths = Field(
        (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0),
        description="regularisation, as a multiple of the features' mean variance; one an epoch, the best is kept",
    )
    temperature: float = Field(0.1, gt=0, description="what the cosines are divided by to be logits; ranks keep")


class Ridge(Method):
    """Attributes of the image's coarse class, predicted linearly; then the class that is nearest by cosine.

    Pooled features are regressed on a(y_coarse), attributes less their mean over the coarse classes; fine classes
    are compared with the prediction in the same way. Images of a fine class that is seen are regressed on its own
    attributes. No gradient is taken and the backbone stays as it is. The first
    epoch sums over the images; each epoch solves for one strength, and the loop keeps the one that is best by its
    metric, coarse accuracy on validation images.
    """

    needs = frozenset({Need.COARSE, Need.ATTRIBUTES})
    Options = RidgeOptions
    selects = "coarse_top1"
    training_only = ("sums.",)
    coarse_attributes: Tensor
    fine_attributes: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(self, backbone: Backbone, task: Task, options: RidgeOptions | None = None) -> None:
        super().__init__(backbone, task)
        self.options = options or RidgeOptions()
        backbone.requires_grad_(False)
        self.register_buffer("coarse_attributes", task.coarse_attributes.clone())
        self.register_buffer("fine_attributes", task.fine_attributes.clone())
        width = task.coarse_attributes.shape[1]
        self.sums = RidgeSums(backbone.dim, task.coarse_classes + len(task.seen))
        self.register_buffer("weight", torch.zeros(width, backbone.dim))
        self.register_buffer("bias", torch.zeros(width))

    @property
    def embedding_dim(self) -> int:
        """A: the embedding is the predicted attributes."""
        return len(self.bias)

    def train(self, mode: bool = True) -> Ridge:
        """The backbone stays in eval mode: not even its running means may move."""
        super().train(mode)
        self.backbone.eval()
        return self

    def stages(self) -> list[Stage]:
        """One stage without a parameter, an epoch for each strength."""
        return [Stage("ridge", [], epochs=len(self.options.strengths))]

    def losses(self, batch: BatchLike) -> Iterator[Losses]:
        """Nothing to minimise by steps; the first epoch's images are added to the sums."""
        if not bool(self.weight.any()):
            with torch.no_grad():
                self.sums.add(self.backbone(batch.images), self._told(batch.targets))
        yield from ()

    def _told(self, targets: Tensor) -> Tensor:
        """What is known of each image: a coarse class, or C + a fine one that is seen, (B,)."""
        coarse, fine = targets[:, self.task.coarse_level], self.task.seen_labels(targets)
        return torch.where(fine >= 0, self.task.coarse_classes + fine, coarse)

    def end_epoch(self, epoch: int) -> None:
        """Solve for the epoch's strength."""
        described = [self.coarse_attributes, self.fine_attributes] if len(self.task.seen) else [self.coarse_attributes]
        targets = torch.cat(described) - self.coarse_attributes.mean(0)
        weight, bias = self.sums.solve(targets, self.options.strengths[epoch])
        self.weight.copy_(weight)
        self.bias.copy_(bias)

    def predict(self, images: Tensor) -> Prediction:
        """The predicted attributes (B, A), less their mean, as embedding; cosines with the classes' as logits."""
        pooled = self.backbone(images)
        with in_full_precision(pooled):
            said = F.linear(pooled.float(), self.weight, self.bias)
        centre = self.coarse_attributes.mean(0)
        coarse, fine = (cosine_scores(said, a - centre) for a in (self.coarse_attributes, self.fine_attributes))
        return Prediction(said, coarse / self.options.temperature, fine / self.options.temperature)
