"""`gcnz` (Wang, Ye & Gupta 2018, as paper 000 has it): what stands for a class comes from a graph of all classes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from linnet.backbones import Backbone
from linnet.losses.encoders import PooledEncoder
from linnet.losses.graph import GraphInterpreter, class_graph, weight_regression
from linnet.losses.linear import in_full_precision
from linnet.losses.semantic import cosine_scores
from linnet.methods.base import BatchLike, Losses, ParameterGroup, Prediction, Stage, Task, Term
from linnet.methods.described import DescribedOptions, OneEncoder

__all__ = ["Gcnz", "GcnzOptions"]


class GcnzOptions(DescribedOptions):
    """Settings of `gcnz`."""

    learns: Literal["alignment", "regression"] = Field(
        "alignment",
        description="'alignment' trains the graph by paper 000's Eq. 1; 'regression' first a classifier of coarse "
        "classes, and then the graph to give its weights, as Wang et al.",
    )
    neighbours: int = Field(5, ge=0, description="most alike classes that a class is joined to in the graph")
    hierarchy: bool = Field(False, description="join each fine class with its coarse class, too")
    graph_epochs: int | None = Field(
        None, ge=1, description="length of the graph's own stage, of 'regression'; none = the recipe's epochs"
    )


class Gcnz(OneEncoder):
    """`transfer` with another g: two graph convolutions over one graph of all coarse and fine classes.

    The graph joins classes with like attributes, across the levels, so that what coarse classes teach reaches the
    fine ones. With `learns = "regression"` there are two stages. The first trains f_v and a bias-free classifier W of
    coarse classes by cross-entropy. The second trains the graph alone: what it gives for the coarse classes is to be
    W, both at unit length; for the fine classes it then gives the weights that no image could.
    """

    Options = GcnzOptions
    training_only = ("classifier.",)
    interpreter: GraphInterpreter  # type: ignore[assignment]

    def __init__(self, backbone: Backbone, task: Task, options: GcnzOptions | None = None) -> None:
        self.options = options = options or GcnzOptions()
        super().__init__(backbone, task, options)
        edges = _tree(task.membership) if options.hierarchy else None
        propagation = class_graph(self._attributes(), options.neighbours, edges)
        width = task.coarse_attributes.shape[1]
        self.interpreter = GraphInterpreter(propagation, width, options.hidden, options.dim)
        self.encoder = PooledEncoder(backbone.dim, options.dim)
        self.classifier = nn.Linear(options.dim, task.coarse_classes, bias=options.learns == "alignment")
        self._first = False

    def stages(self) -> list[Stage]:
        """One, or the classifier's and then the graph's."""
        if self.options.learns == "alignment":
            return super().stages()
        graph = list(self.interpreter.parameters())
        seen = {id(parameter) for parameter in graph}
        others = [parameter for parameter in self.parameters() if id(parameter) not in seen]
        return [
            Stage("classifier", [ParameterGroup(others)]),
            Stage("graph", [ParameterGroup(graph)], self.options.graph_epochs),
        ]

    def enter(self, stage: int) -> None:
        """Learn what the stage says."""
        self._first = self.options.learns == "regression" and stage == 0

    def losses(self, batch: BatchLike) -> Iterator[Losses]:
        """L_sa (Eq. 1); of 'regression' `coarse`, cross-entropy, then `regression`, in which no image has a part."""
        labels = batch.targets[:, self.task.coarse_level]
        if self._first:
            embedding = self.embed(batch.images)
            yield {"coarse": Term(F.cross_entropy(self._logits(embedding), labels))}
        elif self.options.learns == "regression":
            yield {"regression": Term(weight_regression(self.anchors()[0], self.classifier.weight))}
        else:
            embedding = self.embed(batch.images)
            yield self.aligned(embedding, self.classifier, labels)

    def anchors(self) -> tuple[Tensor, Tensor]:
        """What stands for the coarse and for the fine classes: (C, dim) and (F, dim)."""
        given = self.interpreter(self._attributes())
        return given[: self.task.coarse_classes], given[self.task.coarse_classes :]

    def coarse_scores(self, embedding: Tensor) -> Tensor:
        """Cosines (B, C) of embeddings (B, dim) with what the graph gives for the coarse classes."""
        return cosine_scores(embedding, self.anchors()[0])

    def fine_scores(self, embedding: Tensor) -> Tensor:
        """Cosines (B, F) of embeddings (B, dim) with what the graph gives for the fine classes."""
        return cosine_scores(embedding, self.anchors()[1])

    def predict(self, images: Tensor) -> Prediction:
        """f_v(x) as embedding, and its cosines over the temperature.

        While 'regression' trains its classifier, that names the coarse classes: the graph knows nothing yet.
        """
        said = super().predict(images)
        return replace(said, coarse_logits=self._logits(said.embedding)) if self._first else said

    def _logits(self, embedding: Tensor) -> Tensor:
        with in_full_precision(embedding):
            logits: Tensor = self.classifier(embedding.float())
            return logits

    def _attributes(self) -> Tensor:
        return torch.cat([self.coarse_attributes, self.fine_attributes])


def _tree(membership: Tensor) -> Tensor:
    """Edges of the hierarchy, bool (C + F, C + F): coarse classes first, each with its children."""
    coarse, fine = membership.shape
    edges = torch.zeros(coarse + fine, coarse + fine, dtype=torch.bool)
    edges[:coarse, coarse:] = membership
    return edges
