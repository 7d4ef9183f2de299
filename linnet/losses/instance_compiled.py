"""The instance head's arithmetic in C++, compiled on first use: float32 weights on a CPU."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from linnet.losses.instance_blocks import Touched, gradient_gain, update_map
from linnet.losses.owned import UpdateRule

__all__ = ["SOURCE", "CompiledEngine", "CompiledResidual"]

SOURCE = Path(__file__).parent / "kernels" / "instance.cpp"
_KEPT = 1 << 22  # logits that are kept between the phases, 16 MB; beyond these they are computed again


class _Batch(ctypes.Structure):
    """`LinnetBatch` of the source."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("dim", "blocks", "threads", "batch")),
        *((name, ctypes.c_void_p) for name in ("starts", "stops", "rows", "place", "lag", "embedding")),
        *((name, ctypes.c_void_p) for name in ("weight", "velocity", "logits", "norms", "stats", "workspace")),
        ("inverse", ctypes.c_float),
        ("runner", ctypes.c_void_p),
    )


@dataclass
class _Buffers:
    """Memory that is used again in every step, so that its pages are touched once and not once a step."""

    logits: Tensor
    norms: Tensor
    workspace: Tensor


@dataclass
class CompiledResidual:
    """The library's description of the batch, and what its pointers point to besides the caller's tensors."""

    batch: _Batch
    lists: tuple[Tensor, ...]
    buffers: _Buffers


class CompiledEngine:
    """`Engine` in C++: a touched block is read once in `forward`, and read and written once in `step`.

    Results depend on nothing but the arguments and torch's number of threads.

    Args:
        library: of `SOURCE`.
        kept: how many logits are kept between the phases at most.
    """

    def __init__(self, library: ctypes.CDLL, kept: int = _KEPT) -> None:
        pointer = ctypes.c_void_p
        self._workspace = _function(library, "workspace", pointer)
        self._forward = _function(library, "forward", pointer, pointer, pointer)
        self._step = _function(library, "step", pointer, pointer, ctypes.c_double, ctypes.c_float)
        self._kept = kept
        self._runner = _runner()
        self._spare: list[_Buffers] = []

    def forward(
        self, weight: Tensor, velocity: Tensor, embedding: Tensor, touched: Touched, temperature: float | None
    ) -> tuple[Tensor, Tensor, CompiledResidual]:
        """As `Engine.forward`."""
        residual = self._describe(weight, velocity, embedding, touched, temperature)
        loss, gradient = embedding.new_empty(len(embedding)), torch.empty_like(embedding)
        _check(self._forward(ctypes.byref(residual.batch), loss.data_ptr(), gradient.data_ptr()))
        return loss, gradient, residual

    def step(
        self,
        weight: Tensor,
        velocity: Tensor,
        embedding: Tensor,
        residual: CompiledResidual,
        touched: Touched,
        rule: UpdateRule,
        scale: float | Tensor,
    ) -> None:
        """As `Engine.step`."""
        self._spare.append(residual.buffers)
        if rule.skip is not None and float(rule.skip):
            return
        batch, own = residual.batch, update_map(rule)
        batch.weight, batch.velocity = weight.data_ptr(), velocity.data_ptr()
        _check(self._step(ctypes.byref(batch), own.data_ptr(), gradient_gain(rule), float(scale)))

    def _describe(
        self, weight: Tensor, velocity: Tensor, embedding: Tensor, touched: Touched, temperature: float | None
    ) -> CompiledResidual:
        assert all(each.is_contiguous() and each.dtype == torch.float32 for each in (weight, velocity, embedding))
        lists = tuple(torch.tensor(each) for each in (touched.starts, touched.stops, touched.rows))
        lists += touched.place.contiguous(), touched.lag.contiguous(), embedding.new_empty(len(embedding), 2)
        sizes, counts = lists[1] - lists[0], lists[2].diff()
        logits = int(sizes @ counts)
        keep = logits <= self._kept
        spare = self._spare.pop() if self._spare else _Buffers(*embedding.new_empty(3, 0).unbind())
        if keep:
            spare.logits = _at_least(spare.logits, logits)
            spare.norms = _at_least(spare.norms, 0 if temperature is None else int(sizes.sum()))
        batch = _Batch(
            dim=embedding.shape[1],
            blocks=len(sizes),
            threads=torch.get_num_threads(),
            batch=len(embedding),
            embedding=embedding.data_ptr(),
            weight=weight.data_ptr(),
            velocity=velocity.data_ptr(),
            logits=spare.logits.data_ptr() if keep else None,
            norms=spare.norms.data_ptr() if keep else None,
            inverse=0.0 if temperature is None else 1 / temperature,
            runner=self._runner,
            **dict(zip(("starts", "stops", "rows", "place", "lag", "stats"), map(Tensor.data_ptr, lists), strict=True)),
        )
        spare.workspace = _at_least(spare.workspace, _check(self._workspace(ctypes.byref(batch))))
        batch.workspace = spare.workspace.data_ptr()
        return CompiledResidual(batch, lists, spare)


def _function(library: ctypes.CDLL, name: str, *arguments: type) -> Any:
    function = library[f"linnet_instance_{name}"]
    function.argtypes, function.restype = arguments, ctypes.c_int64
    return function


def _check(answer: int) -> int:
    if answer < 0:
        raise MemoryError("the instance head's compiled engine got no memory")
    return answer


def _at_least(buffer: Tensor, count: int) -> Tensor:
    return buffer if len(buffer) >= count else buffer.new_empty(count)


def _runner() -> int | None:
    """GOMP_parallel of the OpenMP that torch itself loaded, or None: then the library starts threads of its own.

    Torch's threads are there already, and they spin for milliseconds after torch's own work, in the way of any others.
    """
    entry = getattr(ctypes.CDLL(None), "GOMP_parallel", None)
    return None if entry is None else ctypes.cast(entry, ctypes.c_void_p).value
