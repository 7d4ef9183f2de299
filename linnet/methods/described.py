"""What the methods that name classes by their descriptions share: one space for images and attributes (paper 000)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from linnet.backbones import Backbone
from linnet.losses.linear import in_full_precision
from linnet.losses.semantic import Interpreter, alignment_loss, cosine_scores
from linnet.methods.base import Losses, Method, Need, Options, Prediction, Task, Term

__all__ = ["Described", "DescribedOptions", "OneEncoder"]


class DescribedOptions(Options):
    """Settings of every method with an interpreter g."""

    dim: int = Field(2048, ge=1, description="length of what g and the visual encoders give")
    hidden: int = Field(1024, ge=1, description="width of g's hidden layer")
    temperature: float = Field(0.1, gt=0, description="what cosines are divided by to be logits; ranks keep")


class Described(Method):
    """Base of methods with an interpreter g of attributes: a class is told by its cosine with g(a(y)) (Eq. 2, 7).

    The attributes are part of the state, by names that a bundle knows, so that it can be opened without the table.
    """

    needs = frozenset({Need.COARSE, Need.ATTRIBUTES})
    Options: ClassVar[type[Options]] = DescribedOptions
    selects = "coarse_top1"
    coarse_attributes: Tensor
    fine_attributes: Tensor

    def __init__(self, backbone: Backbone, task: Task, options: DescribedOptions) -> None:
        super().__init__(backbone, task)
        self.dim, self.temperature = options.dim, options.temperature
        self.register_buffer("coarse_attributes", task.coarse_attributes.clone())
        self.register_buffer("fine_attributes", task.fine_attributes.clone())
        self.interpreter = Interpreter(task.coarse_attributes.shape[1], options.hidden, options.dim)

    @property
    def embedding_dim(self) -> int:
        """The length of what g and the encoders give."""
        return self.dim

    def coarse_scores(self, embedding: Tensor) -> Tensor:
        """Cosines (B, C) of embeddings (B, dim) with g(a(y)) of the coarse classes."""
        return cosine_scores(embedding, self.interpreter(self.coarse_attributes))

    def fine_scores(self, embedding: Tensor) -> Tensor:
        """Cosines (B, F) of embeddings (B, dim) with g(a(y)) of the fine classes."""
        return cosine_scores(embedding, self.interpreter(self.fine_attributes))

    def aligned(self, embedding: Tensor, classifier: nn.Linear, labels: Tensor) -> Losses:
        """The two terms of Eq. 1: `alignment`, 1 - cos(f(x), g(a(y))), and `classes`, CE of a linear classifier."""
        with in_full_precision(embedding):
            logits = classifier(embedding.float())
        return {
            "alignment": Term(alignment_loss(self.coarse_scores(embedding), labels)),
            "classes": Term(F.cross_entropy(logits, labels)),
        }


class OneEncoder(Described):
    """Base of those whose one encoder, learned from coarse classes, tells the classes of both levels."""

    encoder: nn.Module

    def embed(self, images: Tensor) -> Tensor:
        """What the encoder makes of images: (B, dim)."""
        embedding: Tensor = self.encoder(self.backbone.features(images))
        return embedding

    def predict(self, images: Tensor) -> Prediction:
        """The embedding, and its cosines with g of both levels' classes (Eq. 2, 7), over the temperature."""
        said = self.embed(images)
        return Prediction(said, self.coarse_scores(said) / self.temperature, self.fine_scores(said) / self.temperature)
