"""`min-pool` (paper 002): coarse labels for all images, fine labels for some."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from linnet.backbones import Backbone
from linnet.losses.class_maps import ClassMaps, MinimumOverChildren
from linnet.methods.base import BatchLike, Losses, Method, Need, Options, Prediction, Task, Term

__all__ = ["MinPool", "MinPoolOptions"]


class MinPoolOptions(Options):
    """Settings of `min-pool`."""

    lambda_: float = Field(1.0, ge=0, alias="lambda", description="weight of the coarse loss; 0 learns fine alone")
    softmin: float | None = Field(None, gt=0, description="temperature of a smooth minimum; none = the minimum itself")
    cells: int = Field(1, ge=1, description="values per class and place of the map; the paper's AlexNet has 36")
    relu: bool = Field(False, description="cut the maps at zero before the minimum, as the original NIN does")


class MinPool(Method):
    """A map per fine class; a coarse class's map is the least of its children's; the means of both are classified.

    The loss is the mean over the batch of `1[fine known] l_f + lambda l_c` (Eq. 7; the paper sums it), l_f and l_c
    the softmax cross-entropies of the fine and the coarse scores (Eq. 2-3). An image without a fine label adds
    nothing to the fine term, but counts in its mean. With lambda = 0 this is a plain classifier on the fine-labelled
    images: on them alone the rows `baseline`, on a fully labelled set the row `oracle`.
    """

    needs = frozenset({Need.COARSE, Need.SOME_FINE})
    Options = MinPoolOptions
    selects = "fine_top1"
    keeps_ratio = True

    def __init__(self, backbone: Backbone, task: Task, options: MinPoolOptions | None = None) -> None:
        super().__init__(backbone, task)
        self.options = options = options or MinPoolOptions()
        self.minimum = MinimumOverChildren(task.membership, options.softmin)
        self.fine_head = ClassMaps(backbone.dim, task.fine_classes, options.cells, relu=options.relu)

    def losses(self, batch: BatchLike) -> Iterator[Losses]:
        """`fine` and, where lambda is not 0, `coarse`."""
        maps = self.fine_head(self.backbone.features(batch.images))
        known = batch.targets[:, self.task.fine_level]
        fine = F.cross_entropy(maps.mean(2), known, ignore_index=-1, reduction="sum") / len(known)
        terms = {"fine": Term(fine)}
        if self.options.lambda_ > 0:
            scores = self.minimum(maps).mean(2)
            coarse = F.cross_entropy(scores, batch.targets[:, self.task.coarse_level])
            terms["coarse"] = Term(coarse, self.options.lambda_)
        yield terms

    def predict(self, images: Tensor) -> Prediction:
        """The pooled features as embedding, and the scores of both levels as logits."""
        features = self.backbone.features(images)
        maps = self.fine_head(features)
        return Prediction(features.mean(dim=(2, 3)), self.minimum(maps).mean(2), maps.mean(2))

    def class_maps(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Fine and coarse maps of images: (B, F, cells, H, W) and (B, C, cells, H, W), whose means are the scores."""
        features = self.backbone.features(images)
        maps = self.fine_head(features)
        shape = (self.options.cells, *features.shape[2:])
        return maps.unflatten(2, shape), self.minimum(maps).unflatten(2, shape)

    def attention(self, images: Tensor) -> dict[str, Tensor]:
        """The maps "coarse class" and "fine class" of the classes that score highest, each from its least value to 1.

        The mean of a class's cells at each place. A map that is the same everywhere is 0.
        """
        fine, coarse = (maps.detach().float().mean(2) for maps in self.class_maps(images))
        return {"coarse class": _spread(_highest(coarse)), "fine class": _spread(_highest(fine))}


def _highest(maps: Tensor) -> Tensor:
    """Of maps (B, classes, H, W) the one with the largest mean for each image, (B, H, W)."""
    return maps[torch.arange(len(maps), device=maps.device), maps.mean((2, 3)).argmax(1)]


def _spread(maps: Tensor) -> Tensor:
    """Each map (B, H, W) less its minimum and over its range."""
    least, most = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    return (maps - least) / torch.where(most > least, most - least, 1.0)
