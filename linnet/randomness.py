"""Every random draw is keyed by (seed, purpose, epoch, index); no other file seeds anything.

Two kinds of draw. A *generator* (numpy or torch) for a whole object: an order, a split, initial weights. And *keyed
uniforms*: a counter-based hash gives each image its own numbers whatever batch, worker or rank it falls in. Nothing
has a state to save, so a resumed run needs only its step number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    import torch

__all__ = ["generator", "key", "permutation", "reseed", "seeded", "torch_generator", "uniforms"]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def key(seed: int, purpose: str, *numbers: int) -> int:
    """A 63-bit key, the same on every platform: BLAKE2b of the seed, the purpose and any further numbers."""
    text = "\0".join([str(int(seed)), purpose, *(str(int(number)) for number in numbers)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def generator(seed: int, purpose: str, *numbers: int) -> np.random.Generator:
    """A fresh numpy generator for one object, for example `generator(seed, "split")`."""
    return np.random.Generator(np.random.PCG64(key(seed, purpose, *numbers)))


def torch_generator(seed: int, purpose: str, *numbers: int) -> torch.Generator:
    """A fresh CPU torch generator for one object."""
    import torch

    return torch.Generator().manual_seed(key(seed, purpose, *numbers))


def permutation(count: int, seed: int, purpose: str, *numbers: int) -> NDArray[np.int64]:
    """A permutation of 0..count-1, int64 (count,)."""
    return generator(seed, purpose, *numbers).permutation(count).astype(np.int64, copy=False)


@contextmanager
def seeded(seed: int, purpose: str, *numbers: int) -> Iterator[None]:
    """Run a block (weight initialisation) under a keyed global torch state, and put the old state back after it."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key(seed, purpose, *numbers))
        yield


def reseed(seed: int, purpose: str, *numbers: int) -> None:
    """Set torch's global state, on every device, for code that draws from it by itself (dropout)."""
    import torch

    torch.manual_seed(key(seed, purpose, *numbers))


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea & Flood 2014), elementwise; wraps around on purpose."""
    x = (x ^ (x >> np.uint64(30))) * _MIX_1
    x = (x ^ (x >> np.uint64(27))) * _MIX_2
    return x ^ (x >> np.uint64(31))


def uniforms(seed: int, purpose: str, epoch: int, index: ArrayLike, draws: int) -> NDArray[np.float32]:
    """Uniform numbers in [0, 1), float32 (B, draws), one row for each image number in `index` (B,).

    Row i depends on (seed, purpose, epoch, index[i]) alone, so it is the same in any batch, worker and process.
    """
    rows = np.asarray(index, dtype=np.int64).astype(np.uint64).reshape(-1, 1)
    stream = np.uint64(key(seed, purpose, epoch))
    with np.errstate(over="ignore"):
        per_image = _mix(rows * _GOLDEN + stream)
        counters = (np.arange(draws, dtype=np.uint64) + np.uint64(1)) * _GOLDEN
        bits = _mix(per_image + counters)
    return ((bits >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)).astype(np.float32, copy=False)
