"""The instance softmax of paper 001: every training image is a class of its own (Eq. 3-5)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from linnet.losses.instance_blocks import advance, apply_map, nothing_pending
from linnet.losses.instance_engines import find_engine
from linnet.losses.instance_layout import Layout, share_out
from linnet.losses.linear import in_full_precision, initial_weight
from linnet.losses.owned import UpdateRule
from linnet.losses.processes import add_up, gather_equal, put_together

__all__ = ["InstanceHead"]


Update = Callable[[UpdateRule, Tensor], None]


class InstanceHead(nn.Module):
    """Cross-entropy of an image against the instances of its own group (its coarse class), and its own update.

    With `groups` the coarse class of each training image this is l_B of Eq. 5; with one group for all images it is
    the full instance softmax of Eq. 3-4, which several processes do not share out: one holds it all. The weights are
    kept sorted by group, so a group is a contiguous block: logits exist only as (images of the group in the batch) x
    (instances of the group), never as B x N.

    Weights and momentum are buffers, which `step` updates in place from what the last backward pass left: SGD exactly
    as if every row took every step, although only groups with an image in the batch are walked (`instance_blocks`
    says how). One forward and one backward pass a step; a loss without a step leaves no trace.

    Args:
        groups: int64 (N,), the group of each training image; every value >= 0.
        dim: D.
        temperature: as in `LinearHead`.
        engine: what does the arithmetic, see `find_engine`.

    Attributes:
        weight, velocity: (rows, D), sorted by group, up to what is pending; `flush` brings them up to date.
        pending: float64 (G, 2, 2), on the CPU wherever the weights are: the steps that each group has yet to take.
    """

    weight: Tensor
    velocity: Tensor
    pending: Tensor

    _by_row: ClassVar[tuple[str, ...]] = ("weight", "velocity")
    _on_host: ClassVar[tuple[str, ...]] = ("pending",)

    def __init__(self, groups: Tensor, dim: int, temperature: float | None = None, *, engine: str = "auto") -> None:
        super().__init__()
        self.layout = Layout(groups)
        self.temperature, self.engine = temperature, engine
        self.rank, self.world = 0, 1
        self.register_buffer("weight", initial_weight(len(groups), dim).detach())
        self.register_buffer("velocity", torch.zeros_like(self.weight))
        self.register_buffer("pending", nothing_pending(len(self.layout.sizes)))
        self._ready: tuple[Update, Tensor] | None = None

    def forward(self, embedding: Tensor, index: Tensor) -> Tensor:
        """Mean loss of a batch.

        Args:
            embedding: (B, D).
            index: int64 (B,), the images' numbers in the training set, 0..N-1; on the CPU it costs no waiting.

        Returns:
            The mean over the batch of -log softmax over the image's group at the image itself, a scalar of the
            weights' type. Of a sharded head all processes must call, with equally many images each.
        """
        with in_full_precision(embedding):
            exact = embedding.to(self.weight.dtype)
            exact = exact if self.temperature is None else F.normalize(exact)
            if torch.is_grad_enabled():
                self._ready = None
            # What is given last wants a gradient, so that the head learns over a frozen net too.
            loss: Tensor = _Loss.apply(exact, index, self, torch.zeros((), requires_grad=True))
            return loss

    def step(self, rule: UpdateRule, loss_scale: float = 1.0) -> None:
        """Update by SGD from the last backward pass; `loss_scale` is what the objective was multiplied by."""
        ready, self._ready = self._ready, None
        if ready is not None:
            update, scale = ready
            with torch.no_grad():
                update(rule, scale / loss_scale)

    @torch.no_grad()
    def flush(self) -> None:
        """Let every group take the steps that it has yet to take; no loss changes by it."""
        for group in self.layout.held.tolist():
            rows = self.layout.block(group)
            apply_map(self.weight[rows], self.velocity[rows], self.pending[group])
        self.pending.copy_(nothing_pending(len(self.pending)))

    def shard(self, rank: int, world: int) -> None:
        """Keep the rows of this process's share of the groups alone; the whole head must be there."""
        self.rank, self.world = rank, world
        held = share_out(self.layout.sizes, world)[rank]
        rows = self.layout.rows(held)
        for name in self._by_row:
            setattr(self, name, getattr(self, name)[rows])
        self.layout.hold(held)

    def whole(self) -> dict[str, Tensor]:
        """The state of the whole head, whoever holds it; of a sharded one on the CPU, and all processes must call."""
        state: dict[str, Tensor] = self.state_dict()
        if self.world > 1:
            rows = [self.layout.rows(held) for held in share_out(self.layout.sizes, self.world)]
            for name in self._by_row:
                state[name] = put_together(state[name], rows, self.rank, self.weight.device)
        return state

    def look(self, embedding: Tensor, index: Tensor) -> tuple[Tensor, Tensor, Update]:
        """Loss (B,) of rows as the logits take them, its gradient (B, D), and the update by a rule and a scale.

        The scale is the derivative of the objective with respect to the sum of the losses.
        """
        part = self.layout.part(index, self.pending, embedding.device)
        touched, rows = part.touched, embedding[part.order]
        engine, residual = find_engine(self.engine, self.weight), None
        loss, gradient = rows.new_zeros(len(rows)), torch.zeros_like(rows)
        if touched.starts:
            loss, gradient, residual = engine.forward(self.weight, self.velocity, rows, touched, self.temperature)

        def update(rule: UpdateRule, scale: Tensor) -> None:
            if touched.starts:
                engine.step(self.weight, self.velocity, rows, residual, touched, rule, scale)
            advance(self.pending, part.groups, rule)

        # Gathered, not scattered: torch's deterministic scatter sorts its indices first.
        return F.pad(loss, (0, 1))[part.back], F.pad(gradient, (0, 0, 0, 1))[part.back], update

    def settle(self, update: Update, scale: Tensor) -> None:
        """Keep the update that a backward pass has found the scale for, until `step`."""
        if self._ready is not None:
            raise ValueError("two backward passes before a step: put all images of a step into one forward pass")
        self._ready = update, scale

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_ready": None}  # what awaits a step would step the original, not its copy

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> InstanceHead:
        # Walked by the CPU at every step, and exact in float64 alone.
        stay = {name: getattr(self, name) for name in self._on_host}
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, buffer in stay.items():
            setattr(self, name, buffer)
        return self

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        if self.world > 1:
            rows = self.layout.rows(self.layout.held)
            names = [f"{prefix}{name}" for name in self._by_row]
            state_dict = {**state_dict, **{name: state_dict[name][rows] for name in names if name in state_dict}}
        self._ready = None
        super()._load_from_state_dict(state_dict, prefix, *others)


class _Loss(torch.autograd.Function):
    """The mean loss, whose backward tells the head what an update will need."""

    @staticmethod
    def forward(ctx: Any, embedding: Tensor, index: Tensor, head: InstanceHead, _: Tensor) -> Tensor:
        if head.world == 1:
            loss, gradient, ctx.update = head.look(embedding, index)
        else:
            together, numbers = gather_equal(embedding), gather_equal(index.to(embedding.device))
            loss, gradient, ctx.update = head.look(together, numbers)
            loss, gradient = add_up(loss, gradient)
            own = slice(head.rank * len(index), (head.rank + 1) * len(index))
            loss, gradient = loss[own], gradient[own]
        ctx.head, ctx.gradient = head, gradient
        return loss.mean()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None, None]:
        share = upstream / len(ctx.gradient)
        # The loop averages over processes, so each image counts for one in B x world.
        ctx.head.settle(ctx.update, share / ctx.head.world)
        return ctx.gradient * share, None, None, None
