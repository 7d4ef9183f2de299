"""Graph convolution over classes (Kipf & Welling 2017), and the graph of classes whose descriptions are alike."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from linnet.losses.linear import in_full_precision

__all__ = ["GraphInterpreter", "class_graph", "weight_regression"]

_TIE = 1e-6
"""Cosines this close are one: which neighbour counts must not hang on a rounding, or on a class's number."""


def class_graph(attributes: Tensor, neighbours: int, edges: Tensor | None = None) -> Tensor:
    """The propagation matrix D^-1 A of a graph of classes with self loops, float32 (n, n); every row sums to 1.

    Two classes are joined where either is among the `neighbours` nearest of the other, by cosine of their attributes
    (of all that are equally far the whole lot), and by the edges that are given.

    Args:
        attributes: (n, A).
        neighbours: how many each class is joined to, at least; 0 for none.
        edges: bool (n, n), further edges, either way.
    """
    unit = F.normalize(attributes.double())
    alike = (unit @ unit.T).fill_diagonal_(-torch.inf)
    joined = torch.zeros_like(alike, dtype=torch.bool)
    if count := min(neighbours, len(attributes) - 1):
        joined = alike >= alike.topk(count).values[:, -1:] - _TIE
    if edges is not None:
        joined = joined | edges
    adjacency = (joined | joined.T).fill_diagonal_(True).float()
    return adjacency / adjacency.sum(1, keepdim=True)


class GraphInterpreter(nn.Module):
    """The interpreter g as two graph convolutions: H <- LeakyReLU(P H W + b), P the propagation matrix.

    Args:
        propagation: (n, n), see `class_graph`.
        attributes: A, numbers that describe a class.
        hidden: width of the layer between.
        dim: length of what it gives for a class.
        slope: of the LeakyReLU for what is negative; Wang et al. (2018) take 0.2.
    """

    propagation: Tensor

    def __init__(self, propagation: Tensor, attributes: int, hidden: int, dim: int, slope: float = 0.2) -> None:
        super().__init__()
        self.register_buffer("propagation", propagation)
        self.layers = nn.ModuleList([nn.Linear(attributes, hidden), nn.Linear(hidden, dim)])
        self.slope = slope

    def forward(self, attributes: Tensor) -> Tensor:
        """Of the attributes (n, A) of all classes of the graph (n, dim), float32."""
        with in_full_precision(attributes):
            values = attributes
            for layer in self.layers:
                # P (H W) and not (P H) W, which is the same: b is added after the propagation, whose rows sum to 1.
                values = F.leaky_relu(self.propagation @ layer(values), self.slope)
            return values


def weight_regression(found: Tensor, weight: Tensor) -> Tensor:
    """Half the squared distance of unit vectors, the mean over classes (Wang et al. 2018, Eq. 4 on unit weights).

    Args:
        found: what the graph gives for C classes, (C, dim).
        weight: a trained classifier's weights for them, (C, dim), taken as they are.
    """
    difference = F.normalize(found) - F.normalize(weight.detach())
    return difference.square().sum(1).mean() / 2
