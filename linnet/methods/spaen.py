"""`spaen` (Chen et al. 2018, SP-AEN, as paper 000 has it): g must keep enough of a description to give it back."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field
from torch import nn
from torch.nn import functional as F

from linnet.backbones import Backbone
from linnet.losses.encoders import PooledEncoder
from linnet.losses.linear import in_full_precision
from linnet.methods.base import BatchLike, Losses, Task, Term
from linnet.methods.described import DescribedOptions, OneEncoder

__all__ = ["Spaen", "SpaenOptions"]


class SpaenOptions(DescribedOptions):
    """Settings of `spaen`."""

    reconstruction: float = Field(200.0, ge=0, description="weight of the attributes' mean squared error")


class Spaen(OneEncoder):
    """`transfer`, and a decoder of g(a): Linear, LeakyReLU, Linear, LeakyReLU back to the attributes of each class.

    The original reconstructs images, against a discriminator; paper 000's code reconstructs attributes, which keeps
    what the coarse classes alone would let g forget.
    """

    Options = SpaenOptions
    training_only = ("classifier.", "decoder.")

    def __init__(self, backbone: Backbone, task: Task, options: SpaenOptions | None = None) -> None:
        options = options or SpaenOptions()
        super().__init__(backbone, task, options)
        self.weight = options.reconstruction
        self.encoder = PooledEncoder(backbone.dim, options.dim)
        self.classifier = nn.Linear(options.dim, task.coarse_classes)
        width = task.coarse_attributes.shape[1]
        self.decoder = nn.Sequential(
            nn.Linear(options.dim, options.hidden), nn.LeakyReLU(), nn.Linear(options.hidden, width), nn.LeakyReLU()
        )

    def losses(self, batch: BatchLike) -> Iterator[Losses]:
        """L_sa, and `reconstruction`: the mean squared error of the coarse classes' attributes."""
        embedding = self.embed(batch.images)
        terms = self.aligned(embedding, self.classifier, batch.targets[:, self.task.coarse_level])
        with in_full_precision(embedding):
            again = self.decoder(self.interpreter(self.coarse_attributes))
            error = F.mse_loss(again, self.coarse_attributes)
        yield {**terms, "reconstruction": Term(error, self.weight)}
