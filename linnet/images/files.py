"""The files road: worker processes that decode whole batches, started once and kept over all epochs."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from linnet.images.broken import Broken, raise_broken
from linnet.images.cut import evaluation_pixels, resized_crop_pixels
from linnet.images.decode import BrokenImageError, quiet
from linnet.images.preprocessing import Augmentation, Preprocessing
from linnet.images.resize import Pixels
from linnet.manifest import Manifest
from linnet.randomness import torch_generator

__all__ = ["EVALUATION", "Decoder", "FileRoad", "Request"]

EVALUATION = -1
"""The epoch number that stands for the evaluation view."""

_OPEN = 32
"""Files that a worker opens at once, so that it draws their crops together."""


@dataclass(frozen=True)
class Request:
    """What a worker is asked for: the images at `positions` (B,) as `epoch` sees them."""

    epoch: int
    positions: NDArray[np.int64]


Answer = tuple[Tensor, list[tuple[int, str]]]
"""Pixels uint8 (B, size, size, 3), and (position, reason) of each image that could not be decoded."""


@dataclass(frozen=True)
class Decoder(Dataset[Answer]):
    """Decodes requests; all that a worker process is given (no labels, no state).

    Attributes:
        root: folder that `names` are relative to.
        names: string (N,), file of each position.
        preprocessing, augmentation, seed: as the ImageSource's.
    """

    root: Path
    names: pa.Array
    preprocessing: Preprocessing
    augmentation: Augmentation
    seed: int

    @classmethod
    def of(
        cls,
        manifest: Manifest,
        rows: NDArray[np.int64],
        preprocessing: Preprocessing,
        augmentation: Augmentation,
        seed: int,
    ) -> Decoder:
        """A decoder of some rows of a manifest."""
        names = manifest.images.take(pa.array(rows))
        names = names.combine_chunks() if isinstance(names, pa.ChunkedArray) else names
        return cls(manifest.root, names, preprocessing, augmentation, seed)

    def __getitem__(self, request: Request) -> Answer:
        """Decode a batch; broken images stay black in it and are listed, for the main process to name."""
        size = self.preprocessing.size
        pixels = np.zeros((len(request.positions), size, size, 3), np.uint8)
        broken: list[tuple[int, str]] = []
        with quiet():
            for start in range(0, len(pixels), _OPEN):
                positions = request.positions[start : start + _OPEN]
                for place, view in enumerate(self._views(request.epoch, positions), start):
                    if isinstance(view, BrokenImageError):
                        broken.append((int(request.positions[place]), str(view)))
                    else:
                        pixels[place] = view
        return torch.from_numpy(pixels), broken

    def _views(self, epoch: int, positions: NDArray[np.int64]) -> list[Pixels | BrokenImageError]:
        paths = [self.root / name for name in self.names.take(pa.array(positions)).to_pylist()]
        if epoch == EVALUATION or self.augmentation.kind != "resized-crop":
            return [self._evaluation_view(path) for path in paths]
        return resized_crop_pixels(paths, self.preprocessing, self.augmentation, self.seed, epoch, positions)

    def _evaluation_view(self, path: Path) -> Pixels | BrokenImageError:
        try:
            return evaluation_pixels(path, self.preprocessing)
        except BrokenImageError as error:
            return error


class _Plan(Sampler[Request]):
    """The requests of the pass to come; changed between passes, so that workers need not be started again."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def __iter__(self) -> Iterator[Request]:
        return iter(self.requests)

    def __len__(self) -> int:
        return len(self.requests)


class FileRoad:
    """Decoded batches of files, by `workers` processes that live until `close` (0: by this process)."""

    def __init__(self, decoder: Decoder, manifest: Manifest, rows: NDArray[np.int64], workers: int, pin: bool) -> None:
        """Start nothing yet; `pin` asks for page-locked memory, for copies to a GPU that do not wait."""
        self._decoder, self._manifest, self._rows = decoder, manifest, rows
        self._workers, self._pin = workers, pin
        self._kept: tuple[_Plan, DataLoader[Answer]] | None = None
        self._busy = False

    def batches(self, order: NDArray[np.int64], batch_size: int, epoch: int) -> Iterator[Tensor]:
        """Pixels uint8 (B, size, size, 3) of the positions in `order`, batch after batch.

        A second pass begun while one is under way gets processes of its own.

        Raises:
            ImageError: an image of the batch cannot be decoded; names it and its row.
        """
        plan, loader = self._loader()
        plan.requests = [
            Request(epoch, order[start : start + batch_size]) for start in range(0, len(order), batch_size)
        ]
        mine = not self._busy
        self._busy = True
        try:
            with _without_main():
                answers = iter(loader)
            for pixels, broken in answers:
                found = [Broken(int(self._rows[position]), reason) for position, reason in broken]
                raise_broken(self._manifest, found, len(pixels))
                yield pixels
        finally:
            self._busy = self._busy and not mine

    def close(self) -> None:
        """Stop the kept processes."""
        self._kept = None

    def _loader(self) -> tuple[_Plan, DataLoader[Answer]]:
        if self._busy:
            return self._new_loader(keep=False)
        if self._kept is None:
            self._kept = self._new_loader(keep=self._workers > 0)
        return self._kept

    def _new_loader(self, *, keep: bool) -> tuple[_Plan, DataLoader[Answer]]:
        plan = _Plan()
        loader = DataLoader(
            self._decoder,
            batch_size=None,
            sampler=plan,
            num_workers=self._workers,
            collate_fn=_as_is,
            pin_memory=self._pin,
            worker_init_fn=_prepare_worker,
            multiprocessing_context=_start_method() if self._workers else None,
            persistent_workers=keep,
            generator=torch_generator(0, "loader"),  # or it would draw from torch's global state
        )
        return plan, loader


def _as_is(answer: Any) -> Any:
    return answer


def _start_method() -> str:
    """A server that has imported this file forks each worker: quick, without this process's threads."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return "spawn"
    multiprocessing.get_context("forkserver").set_forkserver_preload([__name__])
    return "forkserver"


@contextmanager
def _without_main() -> Iterator[None]:
    """Hide the user's script while workers start: they need nothing of it, and must not run it again."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _prepare_worker(_: int) -> None:
    """End this process with the one that asked for it, even when that is killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
