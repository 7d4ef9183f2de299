"""`cos-softmax` (Li, Min & Fu 2019, as paper 000 has it): softmax over cosines with the descriptions."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field
from torch.nn import functional as F

from linnet.backbones import Backbone
from linnet.losses.encoders import PooledEncoder
from linnet.methods.base import BatchLike, Losses, Task, Term
from linnet.methods.described import DescribedOptions, OneEncoder

__all__ = ["CosSoftmax", "CosSoftmaxOptions"]


class CosSoftmaxOptions(DescribedOptions):
    """Settings of `cos-softmax`."""

    scale: float = Field(10.0, gt=0, description="what the cosines are multiplied by in the softmax")


class CosSoftmax(OneEncoder):
    """`-log softmax_y(scale cos(f_v(x), g(a(y))))` over the coarse classes: the descriptions are the classifier."""

    Options = CosSoftmaxOptions

    def __init__(self, backbone: Backbone, task: Task, options: CosSoftmaxOptions | None = None) -> None:
        options = options or CosSoftmaxOptions()
        super().__init__(backbone, task, options)
        self.scale = options.scale
        self.encoder = PooledEncoder(backbone.dim, options.dim)

    def losses(self, batch: BatchLike) -> Iterator[Losses]:
        """Cross-entropy of the scaled cosines."""
        embedding = self.embed(batch.images)
        logits = self.scale * self.coarse_scores(embedding)
        yield {"coarse": Term(F.cross_entropy(logits, batch.targets[:, self.task.coarse_level]))}
