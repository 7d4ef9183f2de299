"""What a prediction costs: time an image, memory, parameters."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from linnet.methods.base import Method

__all__ = ["Cost", "measure_cost"]


@dataclass(frozen=True)
class Cost:
    """What predicting costs.

    Attributes:
        milliseconds_per_image: of a batch, divided by its images, the least of several rounds. On a CPU processor time
            of all threads, which does not count what other programs do meanwhile; on a GPU wall time.
        peak_memory: MB of 10^6 bytes: the weights, the batch, and the most that tensors take besides.
        parameters: millions.
    """

    milliseconds_per_image: float
    peak_memory: float
    parameters: float


@torch.inference_mode()
def measure_cost(method: Method, size: int, *, batch: int = 32, rounds: int = 5) -> Cost:
    """Measure a method, where it is, on images (B, 3, size, size), in the precision of its weights.

    On a CPU memory is that of tensors, counted as they come and go: not what a library takes for itself, nor what the
    system's allocator keeps back, and so the same on every machine.
    """
    method.eval()
    device = next(method.parameters()).device
    images = torch.full((batch, 3, size, size), 0.5, device=device)
    peak = _extra_on_gpu(method, images) if device.type == "cuda" else _extra(method, images)
    seconds = min(_seconds(method, images) for _ in range(rounds))
    weights = sum(each.nbytes for each in (*method.parameters(), *method.buffers()))
    count = sum(each.numel() for each in method.parameters())
    return Cost(1000 * seconds / batch, (weights + images.nbytes + peak) / 1e6, count / 1e6)


def _seconds(method: Method, images: Tensor) -> float:
    if images.device.type != "cuda":
        began = time.process_time()
        method.predict(images)
        return time.process_time() - began
    torch.cuda.synchronize()
    began = time.perf_counter()
    method.predict(images)
    torch.cuda.synchronize()
    return time.perf_counter() - began


def _extra_on_gpu(method: Method, images: Tensor) -> int:
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    method.predict(images)
    return int(torch.cuda.max_memory_allocated()) - int(before)


def _extra(method: Method, images: Tensor) -> int:
    held = {each.untyped_storage()._cdata for each in (images, *method.parameters(), *method.buffers())}
    counted = _Counted(held)
    with counted:
        method.predict(images)
    return counted.most


class _Counted(TorchDispatchMode):
    """Bytes of the tensors that operations made and that are still there, and the most there ever were at once."""

    def __init__(self, held: set[int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.held, self.most = held, 0
        self.alive: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        self.alive = {key: (ref, size) for key, (ref, size) in self.alive.items() if not ref.expired()}
        for each in tree_leaves(made):
            if isinstance(each, Tensor) and (storage := each.untyped_storage())._cdata not in self.held:
                self.alive[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
        self.most = max(self.most, sum(size for _, size in self.alive.values()))
        return made
