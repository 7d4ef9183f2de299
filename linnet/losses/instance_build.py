"""The instance head's compiled engine: built on first use, tried on a small case, and refused when it errs."""

from __future__ import annotations

import logging
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from linnet.losses.compile import CannotCompileError, NoCompilerError, load
from linnet.losses.instance_blocks import Engine, Touched, nothing_pending, update_map
from linnet.losses.instance_compiled import SOURCE, CompiledEngine
from linnet.losses.instance_torch import TorchEngine
from linnet.losses.owned import UpdateRule
from linnet.randomness import torch_generator

__all__ = ["compiled_engine", "disagreement"]

_ALLOWED = 1e-4  # of the largest value
_SIZES = (3, 1, 150, 700)
_BATCH = (1, 2, 9, 30)  # rows of each
_DIM = 83  # no multiple of any vector's width

_logger = logging.getLogger("linnet")


@cache
def compiled_engine() -> CompiledEngine | str:
    """The engine; or why there is none, logged once: without a compiler at level info, else as a warning."""
    try:
        library = load(SOURCE)
        wrong = "".join(disagreement(CompiledEngine(library, kept)) for kept in (0, 1 << 20))
    except NoCompilerError as error:
        _logger.info("instance head: %s, so its arithmetic is done by torch", error)
        return str(error)
    except CannotCompileError as error:
        wrong = str(error)
    if wrong:
        _logger.warning("instance head: its compiled engine is not used, torch does the arithmetic: %s", wrong)
        return wrong
    _logger.info("instance head: compiled engine")
    return CompiledEngine(library)


def disagreement(engine: Engine) -> str:
    """Where an engine for float32 differs from torch in float64 on a small case, or '' where it does not."""
    rule, lag = UpdateRule(0.1, 0.9, 0.01), nothing_pending(len(_SIZES))
    lag[1:3] = update_map(rule) @ update_map(rule)
    draw = torch_generator(0, "self-test")
    stops = torch.tensor(_SIZES).cumsum(0)
    place = torch.cat([torch.arange(rows) * 23 % size for rows, size in zip(_BATCH, _SIZES, strict=True)])
    rows = [0, *torch.tensor(_BATCH).cumsum(0).tolist()]
    touched = Touched([0, *stops[:-1].tolist()], stops.tolist(), rows, place, lag)
    weight, velocity, embedding = torch.randn(int(stops[-1]) * 2 + rows[-1], _DIM, generator=draw).split(
        [int(stops[-1]), int(stops[-1]), rows[-1]]
    )
    for temperature in (None, 0.2):
        x = embedding if temperature is None else F.normalize(embedding)
        given = (weight, velocity, x)
        found = _one_step(engine, [each.clone() for each in given], touched, temperature, rule)
        right = _one_step(TorchEngine(), [each.double() for each in given], touched, temperature, rule)
        for name, ours, theirs in zip(("loss", "gradient", "weight", "velocity"), found, right, strict=True):
            error = float((ours.double() - theirs).abs().max() / theirs.abs().max())
            if not error <= _ALLOWED:
                return f"{name} differs by {error:.1e} of the largest value (temperature {temperature})"
    return ""


def _one_step(
    engine: Engine, given: list[Tensor], touched: Touched, temperature: float | None, rule: UpdateRule
) -> tuple[Tensor, ...]:
    weight, velocity, embedding = given
    loss, gradient, residual = engine.forward(weight, velocity, embedding, touched, temperature)
    engine.step(weight, velocity, embedding, residual, touched, rule, 0.5)
    return loss, gradient, weight, velocity
