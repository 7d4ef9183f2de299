"""Where and in which arithmetic to train: accelerate finds the device and the process group, autocast is ours."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
import torch.distributed as dist
from accelerate import PartialState
from torch import Tensor, nn

from linnet.errors import RecipeError
from linnet.hardware import bf16_is_fast
from linnet.losses.owned import Sharded
from linnet.recipes import Recipe
from linnet.training.allocator import keep_freed_memory

__all__ = ["Place", "average_gradients", "decoding_workers", "find_place", "share_buffers", "whole_state"]


@dataclass(frozen=True)
class Place:
    """One process's device, rank and arithmetic.

    Attributes:
        device: where tensors live.
        rank, world: this process and how many there are.
        precision: "fp32", "bf16" or "fp16", resolved from "auto".
    """

    device: torch.device
    rank: int
    world: int
    precision: str

    @property
    def main(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    def autocast(self) -> AbstractContextManager[object]:
        """The context in which the net runs forward."""
        if self.precision == "fp32":
            return nullcontext()
        dtype = torch.bfloat16 if self.precision == "bf16" else torch.float16
        return torch.autocast(self.device.type, dtype)

    def agreed(self, said: bool) -> bool:
        """What the first process says, told to all; all must call."""
        if self.world == 1:
            return said
        told = torch.tensor(said, device=self.device)
        dist.broadcast(told, 0)
        return bool(told)

    def wait(self) -> None:
        """Wait for all processes."""
        if self.world > 1:
            dist.barrier()


def find_place(recipe: Recipe) -> Place:
    """Choose the device and precision that a recipe asks for, and join the process group when launched in one.

    Raises:
        RecipeError: a device that is not there, or a batch that the processes cannot share evenly.
    """
    if recipe.device == "cuda" and not torch.cuda.is_available():
        raise RecipeError("device = 'cuda', but this torch sees no GPU; use device = 'auto' or 'cpu'")
    if recipe.threads is not None:
        torch.set_num_threads(recipe.threads)
    state = PartialState(cpu=recipe.device == "cpu" or not torch.cuda.is_available())
    if recipe.batch_size % state.num_processes:
        raise RecipeError(
            f"batch_size = {recipe.batch_size} cannot be shared evenly by {state.num_processes} processes; "
            f"give a multiple of {state.num_processes}"
        )
    # The state is one a process and keeps its first device, so the device follows the recipe, not the state.
    device = torch.device("cpu")
    if recipe.device != "cpu" and torch.cuda.is_available():
        device = torch.device("cuda", state.local_process_index)
    precision: str = recipe.precision
    if precision == "auto":
        precision = "bf16" if bf16_is_fast(device) else "fp32"
    if device.type == "cuda":
        # Same bits on resume: cuBLAS and cuDNN must choose the same sums in the same order every time.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
        # It would write every new tensor twice.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        torch.backends.cudnn.benchmark = False
    else:
        keep_freed_memory()
    return Place(device, state.process_index, state.num_processes, precision)


def decoding_workers(recipe: Recipe, place: Place) -> int:
    """Processes that decode images: the recipe's, or as many as this process's share of the cores, at most 8."""
    if recipe.workers is not None:
        return recipe.workers
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(8, cores // place.world))


def average_gradients(parameters: Iterable[nn.Parameter], losses: Tensor, world: int) -> Tensor:
    """Average all gradients over the processes in one flat reduction; returns the losses (T,), averaged likewise.

    One reduction by hand and not DistributedDataParallel, because a method may take several steps on one batch and
    leave some parameters out of each. Every rank's share of a batch has the same size, so the mean is exact.
    """
    if world == 1:
        return losses
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([losses.float(), *(gradient.reshape(-1) for gradient in gradients)])
    dist.all_reduce(flat)
    flat /= world
    averaged: Tensor
    averaged, *pieces = flat.split([len(losses), *(gradient.numel() for gradient in gradients)])
    for gradient, piece in zip(gradients, pieces, strict=True):
        gradient.copy_(piece.view(gradient.shape))
    return averaged


def share_buffers(module: nn.Module, world: int) -> None:
    """Give every process rank 0's buffers (batch-norm statistics), so that all evaluate the same net.

    What a sharded module holds differs from process to process, and stays.
    """
    if world > 1:
        for part in module.modules():
            for buffer in part.buffers(recurse=False) if not isinstance(part, Sharded) else ():
                dist.broadcast(buffer, 0)


def whole_state(module: nn.Module) -> dict[str, Tensor]:
    """The `state_dict` with sharded parts put together, the same on every process; all must call."""
    state: dict[str, Tensor] = module.state_dict()
    for name, part in module.named_modules():
        if isinstance(part, Sharded):
            state |= {f"{name}.{key}": value for key, value in part.whole().items()}
    return state
