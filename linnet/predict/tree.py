"""Probabilities that agree across levels: from the coarsest level down, each class shares its own among its children.

    p(c) = softmax(s_0 / T_0)         p(f) = p(parent of f) * softmax over f and its siblings of (s_l / T_l)

with s_l the scores of level l, the method's own where it has any, else the totals of the next finer level's. A parent
is then exactly as likely as its children together, whatever two classifiers say apart; each level keeps the classifier
that was trained for it, the coarse one usually on more labels; the loss of the finest level is the sum of one loss a
level, so that every temperature can be fitted alone; and a method with one classifier, at T = 1, keeps its own softmax.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from linnet.explain.scores import Levels
from linnet.losses.hierarchy import coarse_log_probabilities
from linnet.methods.base import Prediction

__all__ = ["Tree"]


@dataclass(frozen=True)
class Tree:
    """The levels of a bundle's classes, as probabilities run down them."""

    levels: Levels

    def scores(self, said: Prediction) -> list[Tensor]:
        """Scores (B, classes) in float64, on the CPU, of every level down to the finest that the method names.

        Those of a level that the method says nothing of are `log sum exp` over the next finer one that it names.
        """
        own = {level: logits.detach().cpu().double() for level, logits in self.levels.own(said).items()}
        found = []
        for level in range(max(own, default=-1) + 1):
            finer = min(each for each in own if each >= level)
            under = torch.from_numpy(self.levels.taxonomy.membership(level, finer))
            found.append(own[level] if level == finer else coarse_log_probabilities(own[finer], under))
        return found

    def probabilities(self, scores: Sequence[Tensor], temperatures: Sequence[float]) -> list[Tensor]:
        """Probabilities (B, classes) of every level from its scores and temperature.

        A level's sum is 1 less what lies on classes of the level above that have no finer class.
        """
        found: list[Tensor] = []
        for level, (each, temperature) in enumerate(zip(scores, temperatures, strict=True)):
            shares = self.within(level, each / temperature).exp()
            found.append(shares * found[-1][:, self.parents(level)] if level else shares)
        return found

    def within(self, level: int, scores: Tensor) -> Tensor:
        """The logarithm of every class's share (B, classes) among itself and its siblings."""
        if level == 0:
            return torch.log_softmax(scores, 1)
        parents = self.parents(level)
        under = torch.from_numpy(self.levels.taxonomy.membership(level - 1, level))
        whole = coarse_log_probabilities(scores, under)[:, parents]
        return torch.where(whole == -torch.inf, -torch.inf, scores - whole)

    def parents(self, level: int) -> Tensor:
        """The number of each class's parent, int64 (classes,)."""
        return torch.tensor(self.levels.taxonomy.parents[level], dtype=torch.int64)

    def siblings(self, level: int) -> Tensor:
        """Bool (classes, classes): which are children of one parent; all are at the coarsest level."""
        if level == 0:
            count = self.levels.taxonomy.count(0)
            return torch.ones(count, count, dtype=torch.bool)
        parents = self.parents(level)
        return parents[:, None] == parents[None, :]
