"""The roads of files and of the cache: worker processes that make whole batches, started once and kept over epochs."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from linnet.errors import RecipeError
from linnet.images.augment import crop_boxes, draw_moves
from linnet.images.broken import Broken, raise_broken
from linnet.images.cache import KeptImages
from linnet.images.cut import crop_pixels, evaluation_pixels
from linnet.images.decode import BrokenImageError, quiet
from linnet.images.preprocessing import Augmentation, Preprocessing
from linnet.images.resize import Pixels, centre_crop, put, resize
from linnet.manifest import Manifest
from linnet.randomness import torch_generator

__all__ = ["EVALUATION", "Decoder", "FileRoad", "Request"]

EVALUATION = -1
"""The epoch number that stands for the evaluation view."""

PIECE = 32
"""Images that a worker makes at once."""


@dataclass(frozen=True)
class Request:
    """What a worker is asked for: the images at `positions` (up to PIECE) as `epoch` sees them, into a `slot`."""

    epoch: int
    positions: NDArray[np.int64]
    slot: int


Answer = list[tuple[int, str]]
"""(position, reason) of each image that could not be decoded; the others lie in the request's slot."""


@dataclass(frozen=True)
class Decoder(Dataset[Answer]):
    """Makes the views of requests; all that a worker process is given (no labels, no state).

    Attributes:
        root: folder that `names` are relative to.
        names: string (N,), file of each position.
        preprocessing, augmentation, seed: as the ImageSource's.
        kept: the working images to cut from, in place of the files.
        slots: uint8 (slots, PIECE, size, size, 3), memory that all processes share; a piece costs no copy and no new
            memory.
    """

    root: Path
    names: pa.Array
    preprocessing: Preprocessing
    augmentation: Augmentation
    seed: int
    kept: KeptImages | None = None
    slots: Tensor | None = None

    @classmethod
    def of(
        cls,
        manifest: Manifest,
        rows: NDArray[np.int64],
        preprocessing: Preprocessing,
        augmentation: Augmentation,
        seed: int,
        kept: KeptImages | None = None,
    ) -> Decoder:
        """A decoder of some rows of a manifest."""
        names = manifest.images.take(pa.array(rows))
        names = names.combine_chunks() if isinstance(names, pa.ChunkedArray) else names
        return cls(manifest.root, names, preprocessing, augmentation, seed, kept)

    def __getitem__(self, request: Request) -> Answer:
        """Make a piece; broken images stay black in it and are listed, for the main process to name."""
        assert self.slots is not None
        pixels = self.slots[request.slot].numpy()
        broken: list[tuple[int, str]] = []
        with quiet():
            views = self._views(request.epoch, request.positions)
            for place, (view, move) in enumerate(zip(views, self._moves(request), strict=True)):
                if isinstance(view, BrokenImageError):
                    broken.append((int(request.positions[place]), str(view)))
                    pixels[place] = 0
                else:
                    put(view, pixels[place], *move)
        return broken

    def _moves(self, request: Request) -> list[tuple[int, int, bool]]:
        """Rows up, columns left, and whether mirrored, for each view."""
        if request.epoch == EVALUATION:
            return [(0, 0, False)] * len(request.positions)
        moves = draw_moves(self.augmentation, self.seed, request.epoch, request.positions, torch.device("cpu"))
        margin = self.augmentation.padding if self.augmentation.kind == "crop" else 0
        return list(
            zip((moves.top - margin).tolist(), (moves.left - margin).tolist(), moves.flip.tolist(), strict=True)
        )

    def _views(self, epoch: int, positions: NDArray[np.int64]) -> Sequence[Pixels | BrokenImageError]:
        """Views, not yet moved and mirrored."""
        if self.kept is not None:
            return self._kept_views(self.kept, epoch, positions)
        paths = [self.root / name for name in self.names.take(pa.array(positions)).to_pylist()]
        if epoch == EVALUATION or not self.augmentation.of_whole:
            return [self._evaluation_view(path) for path in paths]
        return crop_pixels(paths, self.preprocessing, self.augmentation, self.seed, epoch, positions)

    def _kept_views(self, kept: KeptImages, epoch: int, positions: NDArray[np.int64]) -> list[Pixels]:
        images = [kept[position] for position in positions.tolist()]
        if epoch == EVALUATION or not self.augmentation.of_whole:
            return [centre_crop(image, self.preprocessing) for image in images]
        sizes = kept.heights[positions], kept.widths[positions]
        boxes = crop_boxes(self.augmentation, self.seed, epoch, positions, *sizes)
        side, filter_ = self.preprocessing.size, self.preprocessing.interpolation
        return [resize(image, side, side, filter_, box) for image, box in zip(images, boxes.tolist(), strict=True)]

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


@dataclass(frozen=True)
class _Loader:
    """Worker processes, what they are asked for next, and the memory that they answer in."""

    plan: _Plan
    answers: DataLoader[Answer]
    slots: Tensor


class FileRoad:
    """Views by `workers` processes that live until `close` (0: by this process), in the order asked for."""

    def __init__(self, decoder: Decoder, manifest: Manifest, rows: NDArray[np.int64], workers: int) -> None:
        """Start nothing yet."""
        self._decoder, self._manifest, self._rows, self._workers = decoder, manifest, rows, workers
        self._kept: _Loader | None = None
        self._busy = False

    def pieces(self, order: NDArray[np.int64], batch_size: int, epoch: int) -> Iterator[Tensor]:
        """Views uint8 (n, size, size, 3) of the positions in `order`; up to PIECE, of one batch each.

        A piece is overwritten once the next but one is asked for. Two batches or more are under way at once. A second
        pass begun while one is under way gets processes of its own.

        Raises:
            ImageError: an image cannot be decoded; names those of its piece and their rows.
        """
        loader = self._loader(batch_size)
        loader.plan.requests = list(_requests(order, batch_size, epoch, len(loader.slots)))
        mine = not self._busy
        self._busy = True
        try:
            with _without_main():
                answers = iter(loader.answers)
            for request, broken in zip(loader.plan.requests, answers, strict=True):
                found = [Broken(int(self._rows[position]), reason) for position, reason in broken]
                raise_broken(self._manifest, found, len(request.positions))
                yield loader.slots[request.slot, : len(request.positions)]
        finally:
            self._busy = self._busy and not mine

    def close(self) -> None:
        """Stop the kept processes."""
        self._kept = None

    def _loader(self, batch_size: int) -> _Loader:
        if self._busy:
            return self._new_loader(batch_size, keep=False)
        if self._kept is None:
            self._kept = self._new_loader(batch_size, keep=self._workers > 0)
        return self._kept

    def _new_loader(self, batch_size: int, *, keep: bool) -> _Loader:
        plan, workers, size = _Plan(), self._workers, self._decoder.preprocessing.size
        ahead = max(2, -(-2 * batch_size // (PIECE * workers))) if workers else None
        # Those under way, one that the caller holds, and one that may be asked for before it lets go.
        slots = torch.empty((workers * (ahead or 0) + 2, PIECE, size, size, 3), dtype=torch.uint8)
        answers: DataLoader[Answer] = DataLoader(
            replace(self._decoder, slots=_shared(slots, workers) if workers else slots),
            batch_size=None,
            sampler=plan,
            num_workers=workers,
            prefetch_factor=ahead,
            collate_fn=_as_is,
            worker_init_fn=_prepare_worker,
            multiprocessing_context=_start_method() if workers else None,
            persistent_workers=keep,
            generator=torch_generator(0, "loader"),  # or it would draw from torch's global state
        )
        return _Loader(plan, answers, slots)


def _shared(slots: Tensor, workers: int) -> Tensor:
    """The memory of the slots, shared by all processes."""
    try:
        slots.share_memory_()
    except RuntimeError as error:
        raise RecipeError(
            f"workers = {workers} need {slots.nbytes / 1e6:,.0f} MB of shared memory, which cannot be had ({error}); "
            "enlarge /dev/shm (docker run --shm-size), or use fewer workers"
        ) from None
    return slots


def _requests(order: NDArray[np.int64], batch_size: int, epoch: int, slots: int) -> Iterator[Request]:
    """The pieces of each batch in turn; slots go round."""
    slot = count()
    for batch in range(0, len(order), batch_size):
        part = order[batch : batch + batch_size]
        for start in range(0, len(part), PIECE):
            yield Request(epoch, part[start : start + PIECE], next(slot) % slots)


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
