"""Weights from a local safetensors file into a backbone, every name and shape checked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from linnet.errors import RecipeError

__all__ = ["load_weights"]

_SHOWN = 10


def load_weights(net: nn.Module, source: Path, ignored: Sequence[str], *, renamed: tuple[str, str] = ("", "")) -> str:
    """Fill `net` with a file's tensors; names and shapes must agree one to one, but for classifiers.

    Args:
        net: the module to fill.
        source: a safetensors file.
        ignored: first parts of names that may stand in the file unused (classifiers).
        renamed: (prefix in the file, prefix in `net`), for files that hold a larger module.

    Returns:
        What the backbone's `start` becomes: "imagenet" when the file's name or metadata say so, else
        its name.

    Raises:
        RecipeError: the file is missing, no safetensors file, or disagrees with the network; lists what
            disagrees.
    """
    tensors, metadata = _read(source)
    theirs = {
        renamed[1] + name.removeprefix(renamed[0]): tensor
        for name, tensor in tensors.items()
        if name.split(".")[0] not in ignored
    }
    ours = net.state_dict()
    wrong = [f"{name}: missing in the file" for name in ours if name not in theirs and not _counter(name)]
    wrong += [f"{name}: not in the network" for name in theirs if name not in ours]
    wrong += [
        f"{name}: {tuple(theirs[name].shape)} in the file, {tuple(ours[name].shape)} in the network"
        for name in ours
        if name in theirs and theirs[name].shape != ours[name].shape
    ]
    if wrong:
        more = [f"and {len(wrong) - _SHOWN} more"] if len(wrong) > _SHOWN else []
        listed = "\n  ".join([*wrong[:_SHOWN], *more])
        raise RecipeError(
            f"weights = {source}: {len(wrong)} tensors do not fit this backbone (it has {len(ours)}):\n"
            f"  {listed}\nGive the weights of the same architecture and width."
        )
    net.load_state_dict(theirs, strict=False)
    about = " ".join([source.name, *metadata.values()]).lower()
    return "imagenet" if "imagenet" in about else source.name


def _counter(name: str) -> bool:
    """Batch norm's step counter, which older files lack and nothing here uses."""
    return name.endswith("num_batches_tracked")


def _read(source: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    if not source.is_file():
        raise RecipeError(f"weights = {source}: no such file; give a safetensors file")
    try:
        with safe_open(source, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise RecipeError(
            f"weights = {source}: not a safetensors file ({error}); other formats can run code "
            "when opened, so convert it first with safetensors.torch.save_file"
        ) from None
    return {name: t.to(torch.float32) if t.is_floating_point() else t for name, t in tensors.items()}, metadata
