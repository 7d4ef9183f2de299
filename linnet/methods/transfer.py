"""`transfer`: the coarse classes' encoder used as it is for the fine ones (paper 000, row "Domain Adaptation")."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from linnet.backbones import Backbone
from linnet.losses.encoders import PooledEncoder
from linnet.methods.base import BatchLike, Losses, Task
from linnet.methods.described import DescribedOptions, OneEncoder

__all__ = ["Transfer"]


class Transfer(OneEncoder):
    """f_v and g learn from coarse classes by Eq. 1; fine classes are told by the same f_v and g (f_v with a dagger)."""

    Options = DescribedOptions
    training_only = ("classifier.",)

    def __init__(self, backbone: Backbone, task: Task, options: DescribedOptions | None = None) -> None:
        options = options or DescribedOptions()
        super().__init__(backbone, task, options)
        self.encoder = PooledEncoder(backbone.dim, options.dim)
        self.classifier = nn.Linear(options.dim, task.coarse_classes)

    def losses(self, batch: BatchLike) -> Iterator[Losses]:
        """L_sa, Eq. 1."""
        embedding = self.embed(batch.images)
        yield self.aligned(embedding, self.classifier, batch.targets[:, self.task.coarse_level])
