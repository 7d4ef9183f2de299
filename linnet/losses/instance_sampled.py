"""The instance softmax over a sample of the instances: an approximation, for more of them than one has time for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from linnet.losses.instance import InstanceHead, Update
from linnet.losses.instance_blocks import nothing_pending, update_map
from linnet.losses.instance_rows import combine, logits_of, through_norms, update
from linnet.losses.owned import UpdateRule
from linnet.randomness import generator

__all__ = ["SampledInstanceHead", "draw"]

_COHORTS = 1024
_CHUNK = 1 << 20  # elements of a temporary


@dataclass(frozen=True)
class _Seen:
    """Weight rows (n,) that batch rows (b, D) looked at, the gradient of their products (b, n), see `through_norms`."""

    at: Tensor
    x: Tensor
    slope: Tensor
    along: Tensor | None


class SampledInstanceHead(InstanceHead):
    """An `InstanceHead` that tells an image from a sample of its group at each step. It is not exact.

    Of a group that a batch touches, the softmax sees the batch's own instances and `sample` others, drawn uniformly
    without replacement and anew at each step. The exponentials of those drawn count (others / drawn) times, so that the
    sum over the group is right on average; the loss, its logarithm, is on average a little too small.

    The update is exact for the gradient that comes of it: a row that was not looked at still takes every step, late.
    The rows last looked at in one step form a cohort, which has a pending 2 x 2 map as a block has; every thousand
    steps all rows are brought up to date.

    Args:
        groups, dim, temperature: as in `InstanceHead`.
        sample: how many others.

    Attributes:
        pending: float64 (cohorts, 2, 2).
        cohort: int32 (rows,), each row's.
        clock: int64 (3,): the key of all draws, the steps taken, and the cohorts in use.
    """

    cohort: Tensor
    clock: Tensor

    _by_row: ClassVar[tuple[str, ...]] = ("weight", "velocity", "cohort")
    _on_host: ClassVar[tuple[str, ...]] = ("pending", "cohort", "clock")

    def __init__(self, groups: Tensor, dim: int, temperature: float | None = None, *, sample: int) -> None:
        super().__init__(groups, dim, temperature, engine="torch")
        self.sample = sample
        self.pending = nothing_pending(_COHORTS)
        self.register_buffer("cohort", torch.zeros(len(groups), dtype=torch.int32))
        # Like the weights it is drawn under the run's seed.
        key = torch.empty((), dtype=torch.int64).random_()
        self.register_buffer("clock", torch.stack([key, torch.tensor(0), torch.tensor(1)]))

    def look(self, embedding: Tensor, index: Tensor) -> tuple[Tensor, Tensor, Update]:
        """As `InstanceHead.look`."""
        part = self.layout.part(index, nothing_pending(len(self.layout.sizes)), embedding.device)
        held = part.groups[self.layout.starts[part.groups] >= 0]
        touched, rows, seen = part.touched, embedding[part.order], []
        loss, gradient = rows.new_zeros(len(rows) + 1), rows.new_zeros(len(rows) + 1, rows.shape[1])
        for number, group in enumerate(held.tolist()):
            mine = slice(touched.rows[number], touched.rows[number + 1])
            size, key = touched.stops[number] - touched.starts[number], self.clock[:2].tolist()
            columns, own, bonus = draw(touched.place[mine].cpu(), size, self.sample, (*key, group))
            at = columns + touched.starts[number]
            loss[mine], gradient[mine], found = self._tell(rows[mine], at, own.to(rows.device), bonus.to(rows))
            seen.append(found)

        def step(rule: UpdateRule, scale: Tensor) -> None:
            if rule.skip is None or not bool(rule.skip):
                for found in seen:
                    self._learn(found, rule, scale)
                self._turn([found.at for found in seen], rule)

        return loss[part.back], gradient[part.back], step

    @torch.no_grad()
    def flush(self) -> None:
        """As `InstanceHead.flush`."""
        for at in torch.arange(len(self.weight)).split(max(1, _CHUNK // max(1, self.weight.shape[1]))):
            self.weight[at], self.velocity[at] = self._up_to_date(at)
        self.cohort.zero_()
        self.pending.copy_(nothing_pending(_COHORTS))
        self.clock[2] = 1

    def _tell(self, x: Tensor, at: Tensor, own: Tensor, bonus: Tensor) -> tuple[Tensor, Tensor, _Seen]:
        """Loss (b,) and gradient (b, D) of rows that are told from weight rows `at` (n,), logits raised by `bonus`."""
        w, _ = self._up_to_date(at)
        logits, inverse = logits_of(x, w, self.temperature)
        slope = torch.log_softmax(logits + bonus, 1)
        loss = slope.gather(1, own).squeeze(1).neg_()
        slope.exp_().scatter_add_(1, own, slope.new_full(own.shape, -1))
        along = None if inverse is None else through_norms(slope, logits, inverse, self.temperature or 1.0)
        return loss, combine(slope, w), _Seen(at, x, slope, along)

    def _learn(self, seen: _Seen, rule: UpdateRule, scale: Tensor) -> None:
        w, v = self._up_to_date(seen.at)
        gradient = seen.slope.t() @ (seen.x * scale)
        if seen.along is not None:
            gradient.addcmul_(w, (seen.along * scale).unsqueeze(1), value=-1)
        update(w, v, gradient, rule)
        self.weight[seen.at], self.velocity[seen.at] = w, v

    def _turn(self, looked_at: list[Tensor], rule: UpdateRule) -> None:
        """One step later: all cohorts lag one map more, and those looked at form a new one."""
        new = int(self.clock[2])
        self.pending[:new] = update_map(rule) @ self.pending[:new]
        for at in looked_at:
            self.cohort[at] = new
        self.clock[1:] += 1
        if new + 1 == _COHORTS:
            self.flush()

    def _up_to_date(self, at: Tensor) -> tuple[Tensor, Tensor]:
        """Copies of some rows (n,) as they are when all their steps are taken."""
        maps = self.pending[self.cohort[at].long()]
        change = (maps - torch.eye(2, dtype=torch.float64)).to(self.weight).unsqueeze(3)
        w, v = self.weight[at], self.velocity[at]
        return (
            w + (change[:, 0, 0] * w + change[:, 0, 1] * v),
            v + (change[:, 1, 0] * w + change[:, 1, 1] * v),
        )


def draw(place: Tensor, size: int, count: int, key: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """What a group's images in a batch are told from.

    Args:
        place: int64 (b,), the images' own instances in their group.
        size: instances of the group.
        count: how many others to draw, or all where there are no more.
        key: of the draw; its first number is the seed.

    Returns:
        Instances of the group (n,), each once: the images' own, then those drawn; int64 (b, 1), which of them is each
        image's own; and what their logits are raised by, the log of how many each stands for, float64 (n,).
    """
    present, own = torch.unique(place, return_inverse=True)
    others = size - len(present)
    count = min(count, others)
    seed, *numbers = key
    drawn = np.sort(generator(seed, "instances", *numbers).choice(others, count, replace=False, shuffle=False))
    # Numbers of the others to numbers in the group: one more for each instance present that comes before.
    drawn += np.searchsorted(present.numpy() - np.arange(len(present)), drawn, side="right")
    bonus = torch.zeros(len(present) + count, dtype=torch.float64)
    bonus[len(present) :] = math.log(others / count) if count else 0.0
    return torch.cat([present, torch.from_numpy(drawn)]), own.unsqueeze(1), bonus
