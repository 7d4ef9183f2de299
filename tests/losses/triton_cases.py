"""What the GPU engine is tried on; as a program, in Triton's interpreter: prints each case's errors as JSON."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass

if __name__ == "__main__":
    os.environ["TRITON_INTERPRET"] = "1"  # read when the kernels are defined

import torch
from torch import Tensor

from linnet.losses.instance_blocks import Touched, advance, apply_map, nothing_pending
from linnet.losses.instance_plan import Tiles
from linnet.losses.instance_triton import Precision, TritonEngine
from linnet.losses.owned import UpdateRule
from tests.reference.instance import instance_loss


@dataclass(frozen=True)
class Case:
    """Group sizes, batches as images of the groups (group, place), and the head."""

    sizes: tuple[int, ...]
    batches: tuple[tuple[tuple[int, int], ...], ...]
    dim: int
    temperature: float | None = None
    nesterov: bool = False
    momentum: float = 0.9
    kept: int = 1 << 24


UNEVEN = (3, 40, 1, 17)
LAGS = (
    ((1, 0), (1, 39), (1, 0), (3, 5)),
    ((1, 2), (2, 0)),
    ((0, 1), (3, 16), (2, 0)),
)
CROWD = ((*((0, 5 * i % 21) for i in range(40)), (1, 1)),)

CASES = {
    "plain": Case(UNEVEN, LAGS, 20),
    "cosine": Case(UNEVEN, LAGS, 33, temperature=0.2),
    "nesterov": Case(UNEVEN, LAGS[:2], 16, nesterov=True),
    "without momentum": Case(UNEVEN, LAGS[:2], 7, momentum=0.0),
    "columns in parts": Case((5, 18), (((0, 4), (1, 17)),), 140, temperature=0.5),
    "more images than a tile": Case((21, 2), CROWD, 16, temperature=0.5),
    "logits made again": Case(UNEVEN, LAGS[:2], 16, temperature=0.5, nesterov=True, kept=24),
}


def touched_by(batch: Tensor, sizes: Tensor, pending: Tensor, device: str) -> tuple[Touched, Tensor]:
    """A batch (B, 2) of (group, place), sorted by group, as the engine is told of it; and the groups."""
    groups, counts = torch.unique_consecutive(batch[:, 0], return_counts=True)
    starts = (sizes.cumsum(0) - sizes)[groups]
    rows = [0, *counts.cumsum(0).tolist()]
    place = batch[:, 1].contiguous().to(device)
    return Touched(starts.tolist(), (starts + sizes[groups]).tolist(), rows, place, pending[groups]), groups


def distance(found: Tensor, exact: Tensor) -> float:
    """Relative, in the Euclidean norm."""
    return float((found.double().cpu() - exact).norm() / exact.norm())


def unit(x: Tensor, temperature: float | None) -> Tensor:
    return x if temperature is None else torch.nn.functional.normalize(x)


def through_unit(slope: Tensor, x: Tensor, temperature: float | None) -> Tensor:
    """The derivative by x of a function of unit(x), at a unit x."""
    return slope if temperature is None else slope - (slope * x).sum(1, keepdim=True) * x


def errors(case: Case, device: str, precision: Precision = "ieee", seed: int = 0) -> dict[str, float]:
    """Greatest distance from float64 autograd over a case's steps, and from torch's dense SGD at its end."""
    draw = torch.Generator().manual_seed(seed)
    sizes = torch.tensor(case.sizes)
    begins = sizes.cumsum(0) - sizes
    groups = torch.arange(len(sizes)).repeat_interleave(sizes)
    exact = torch.randn(len(groups), case.dim, generator=draw, dtype=torch.float64).requires_grad_()
    optimizer = torch.optim.SGD([exact], lr=1.0, momentum=case.momentum, weight_decay=0.01, nesterov=case.nesterov)
    weight = exact.detach().float().to(device)
    velocity, pending = torch.zeros_like(weight), nothing_pending(len(sizes))
    engine = TritonEngine(precision, Tiles(chunk=16), case.kept)
    worst = {"loss": 0.0, "gradient": 0.0}
    for number, images in enumerate(case.batches):
        batch = torch.tensor(sorted(images))
        x = torch.randn(len(batch), case.dim, generator=draw, dtype=torch.float64)
        x = unit(x, case.temperature).requires_grad_()
        loss = instance_loss(x, begins[batch[:, 0]] + batch[:, 1], exact, groups, case.temperature)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        assert x.grad is not None
        rule = UpdateRule(0.3 / (1 + number), case.momentum, 0.01, case.nesterov)
        optimizer.param_groups[0]["lr"] = rule.lr

        touched, blocks = touched_by(batch, sizes, pending, device)
        rows = x.detach().float().to(device)
        losses, slope, residual = engine.forward(weight, velocity, rows, touched, case.temperature)
        worst["loss"] = max(worst["loss"], distance(losses.mean(), loss.detach()))
        slope = through_unit(slope, rows, case.temperature) / len(batch)
        worst["gradient"] = max(worst["gradient"], distance(slope, x.grad))
        engine.step(weight, velocity, rows, residual, touched, rule, torch.tensor(1 / len(batch), device=device))
        advance(pending, blocks, rule)
        optimizer.step()
    for begin, size, lag in zip(begins.tolist(), case.sizes, pending, strict=True):
        apply_map(weight[begin : begin + size], velocity[begin : begin + size], lag)
    worst["weight"] = distance(weight, exact.detach())
    if case.momentum:
        worst["velocity"] = distance(velocity, optimizer.state[exact]["momentum_buffer"])
    return worst


def moved(skip: float, device: str) -> bool:
    """Whether a step with this `skip` changes weights or velocities."""
    draw = torch.Generator().manual_seed(0)
    weight, velocity, x = (torch.randn(n, 16, generator=draw).to(device) for n in (9, 9, 2))
    before = weight.clone(), velocity.clone()
    sizes = torch.tensor([4, 5])
    touched, _ = touched_by(torch.tensor([[0, 1], [1, 4]]), sizes, nothing_pending(2), device)
    engine = TritonEngine()
    _, _, residual = engine.forward(weight, velocity, x, touched, None)
    rule = UpdateRule(0.1, 0.9, skip=torch.tensor(skip, device=device))
    engine.step(weight, velocity, x, residual, touched, rule, 0.5)
    same = [torch.equal(*pair) for pair in zip(before, (weight, velocity), strict=True)]
    assert same[0] == same[1]
    return not same[0]


if __name__ == "__main__":
    found: dict[str, object] = {name: errors(case, "cpu") for name, case in CASES.items()}
    found["moved"] = [moved(0.0, "cpu"), moved(1.0, "cpu")]
    json.dump(found, sys.stdout)
