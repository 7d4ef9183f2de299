"""Rows of a manifest as batches of feature maps, computed before: an `ImageSource` whose images are maps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from linnet.images import Augmentation, Batch
from linnet.images.augment import draw_moves
from linnet.training.feature_file import Maps

__all__ = ["FeatureSource"]


@dataclass(frozen=True)
class FeatureSource:
    """Rows of a manifest as batches of feature maps: see the module's text.

    Attributes:
        maps: all that the file holds.
        places: int64 (N,), record of each position.
        targets: int64 (N, L).
        flips: mirrors by (seed, epoch, position), with the very draws that images would have.
    """

    maps: Maps
    places: NDArray[np.int64]
    targets: Tensor
    flips: Augmentation
    seed: int
    device: torch.device
    channels_last: bool

    def __len__(self) -> int:
        """N, the number of rows."""
        return len(self.places)

    def epoch(self, epoch: int, order: NDArray[np.int64], batch_size: int, *, start_step: int = 0) -> Iterator[Batch]:
        """Batches of one epoch, each image mirrored or not; see `ImageSource.epoch`."""
        order = np.asarray(order, dtype=np.int64)[start_step * batch_size :]
        mirrored = draw_moves(self.flips, self.seed, epoch, order, torch.device("cpu")).flip.numpy()
        return self._batches(order, mirrored, batch_size)

    def sequential(
        self, batch_size: int, positions: NDArray[np.int64] | None = None, *, mirrored: bool = False
    ) -> Iterator[Batch]:
        """Maps of the images as they are, or all `mirrored`, in the order of `positions` (default: all)."""
        chosen = np.arange(len(self)) if positions is None else np.asarray(positions, dtype=np.int64)
        return self._batches(chosen, np.full(len(chosen), mirrored), batch_size)

    def part(self, start: int, stop: int) -> FeatureSource:
        """Some of the rows, as a source of their own."""
        return replace(self, places=self.places[start:stop], targets=self.targets[start:stop])

    def close(self) -> None:
        """Nothing is left open."""

    def _batches(self, order: NDArray[np.int64], mirrored: NDArray[np.bool_], batch_size: int) -> Iterator[Batch]:
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        for start in range(0, len(order), batch_size):
            part = slice(start, start + batch_size)
            maps = torch.from_numpy(self.maps[self.places[order[part]], mirrored[part].astype(np.int64)])
            maps = maps.to(self.device).permute(0, 3, 1, 2)
            index = torch.from_numpy(order[part])
            yield Batch(maps.to(torch.float32, memory_format=layout), index, self.targets[index.to(self.device)])
