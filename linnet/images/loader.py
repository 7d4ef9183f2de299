"""Rows of a manifest as batches, by three roads.

*Memory*: every image lies on the device as uint8 and a batch is one gather. *Files*: worker processes
decode, crop and flip; the device recolours and normalises. *Cache*: the same, but from images that were
decoded once, at a working size, and are mapped into memory (see `cache`). All draws are keyed by (seed, purpose,
epoch, position): a batch is the same for any number of workers, any batch size, and from
whatever step a run is resumed.

Evaluation views are the same by every road. So are training views by memory and files (a resized crop up
to rounding); a resized crop from the cache is softer where it enlarges what the file has more pixels of.
"auto" therefore never takes the cache: who wants it says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from linnet.errors import RecipeError, nearest
from linnet.images.augment import (
    Moves,
    crop_boxes,
    draw_moves,
    flip,
    normalise,
    resized_crop,
    windows,
)
from linnet.images.colour import draw_colours, recolour
from linnet.images.files import EVALUATION, Decoder, FileRoad
from linnet.images.kept import find_cache, open_kept
from linnet.images.memory import fits_in_memory, load_pixels, store
from linnet.images.preprocessing import Augmentation, Preprocessing
from linnet.manifest import Manifest

__all__ = ["Batch", "ImageSource", "Road"]

Road = Literal["auto", "memory", "files", "cache"]

_GROUP_BYTES = 1 << 25
"""On an accelerator this much is cut at once, so that small images do not pay ten kernel launches a batch."""


@dataclass
class Batch:
    """What a training step sees.

    Attributes:
        images: normalised, float32 (B, 3, size, size), on the device.
        index: int64 (B,), position of each image among the source's rows, 0 to N-1: its instance label. On the CPU,
            which draws the batch: what is looked up by it there need not wait for the device.
        targets: int64 (B, L), class index per level, -1 unknown.
    """

    images: Tensor
    index: Tensor
    targets: Tensor


class ImageSource:
    """Rows of a manifest as batches (see the module's text).

    Attributes:
        road: "memory", "files" or "cache", as chosen.
        manifest, rows, preprocessing, augmentation, seed, device, channels_last: as given.
    """

    def __init__(
        self,
        manifest: Manifest,
        rows: NDArray[np.int64],
        preprocessing: Preprocessing,
        augmentation: Augmentation | None = None,
        *,
        seed: int = 0,
        device: torch.device | str = "cpu",
        workers: int = 0,
        road: Road = "auto",
        channels_last: bool = False,
    ) -> None:
        """Choose the road; the memory road decodes everything now, the cache's what it lacks.

        Args:
            manifest: the images and their labels.
            rows: int64 (N,), rows of the manifest; position i of this source is row `rows[i]`.
            preprocessing: evaluation view, and the normalisation.
            augmentation: what `epoch` does to images; None is none.
            seed: of the augmentation's draws.
            device: where batches lie, and on the memory road all images.
            workers: processes of the roads of files and cache (0: in this process), threads of the
                memory road's loading.
            road: "auto" takes memory for manifests that come as arrays and for small files that fit,
                else files. Of arrays, "cache" is memory too.
            channels_last: memory format of the batches.

        Raises:
            ImageError: the roads of memory or cache met images that cannot be decoded; all are named.
            RecipeError: `road` is not one of these, `workers` is negative, or the cache cannot be written.
        """
        if road not in get_args(Road):
            raise RecipeError(
                f"road = {road!r}: choose one of {', '.join(get_args(Road))}{nearest(road, get_args(Road))}"
            )
        if workers < 0:
            raise RecipeError(f"workers = {workers}: give 0 (decode in this process) or more")
        self.manifest, self.rows = manifest, np.asarray(rows, dtype=np.int64)
        self.preprocessing, self.augmentation = preprocessing, augmentation or Augmentation()
        self.seed, self.device, self.channels_last = seed, torch.device(device), channels_last
        self._targets = torch.from_numpy(manifest.targets[self.rows]).to(self.device)
        self._padding = self.augmentation.padding if self.augmentation.kind == "crop" else 0
        self._size = (preprocessing.size, preprocessing.size)
        self._pin = self.device.type == "cuda"
        self._store: Tensor | None = None
        self._files: FileRoad | None = None
        if road == "auto":
            fits = fits_in_memory(manifest, self.rows, preprocessing, self.augmentation)
            road = "memory" if fits else "files"
        elif road == "cache" and manifest.pixels is not None:
            road = "memory"
        self.road: Road = road
        if road == "memory":
            pixels = load_pixels(manifest, self.rows, preprocessing, workers)
            self._store = store(pixels, self._padding, self.device, channels_last=channels_last)
        else:
            kept = None
            if road == "cache":
                kept = open_kept(manifest, self.rows, find_cache(manifest, preprocessing, self.augmentation))
            decoder = Decoder.of(manifest, self.rows, preprocessing, self.augmentation, seed, kept)
            self._files = FileRoad(decoder, manifest, self.rows, workers)

    def __len__(self) -> int:
        """N, the number of rows."""
        return len(self.rows)

    def epoch(self, epoch: int, order: NDArray[np.int64], batch_size: int, *, start_step: int = 0) -> Iterator[Batch]:
        """Augmented batches of one epoch, the last one as short as `order` leaves it.

        Args:
            epoch: number of the epoch, part of the key of every draw.
            order: positions (0 to N-1) in the order of training, already shuffled and sharded.
            batch_size: images a batch.
            start_step: batches of `order` to skip, without decoding them.

        Raises:
            ImageError: a file became unreadable since the check.
        """
        return self._batches(np.asarray(order, dtype=np.int64)[start_step * batch_size :], batch_size, epoch)

    def sequential(self, batch_size: int, positions: NDArray[np.int64] | None = None) -> Iterator[Batch]:
        """Evaluation views in the order of `positions` (default: all), the last batch maybe short.

        Raises:
            ImageError: a file became unreadable since the check.
        """
        chosen = np.arange(len(self)) if positions is None else np.asarray(positions, dtype=np.int64)
        return self._batches(chosen, batch_size, EVALUATION)

    def close(self) -> None:
        """Stop the worker processes; a later epoch starts them again."""
        if self._files is not None:
            self._files.close()

    def _batches(self, order: NDArray[np.int64], batch_size: int, epoch: int) -> Iterator[Batch]:
        positions = torch.from_numpy(order)
        index = positions.to(self.device)
        start = 0
        for images in self._images(order, index, batch_size, epoch):
            part = slice(start, start + len(images))
            yield Batch(images, positions[part], self._targets[index[part]])
            start = part.stop

    def _images(self, order: NDArray[np.int64], index: Tensor, batch_size: int, epoch: int) -> Iterator[Tensor]:
        """Normalised views, batch after batch."""
        if self._store is not None:
            for pixels in self._cut(self._store, order, index, batch_size, epoch):
                yield normalise(pixels, self.preprocessing, channels_last=self.channels_last)
            return
        assert self._files is not None
        pieces = self._files.pieces(order, batch_size, epoch)
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        for start in range(0, len(order), batch_size):
            size = min(batch_size, len(order) - start), 3, *self._size
            batch, done = torch.empty(size, dtype=torch.float32, device=self.device, memory_format=layout), 0
            colours = self._colours(order[start : start + len(batch)], epoch)
            while done < len(batch):
                piece = next(pieces)
                # Pinned memory lets the copy to the device and the host go on at once.
                moved = piece.pin_memory().to(self.device, non_blocking=True) if self._pin else piece
                place, pixels = slice(done, done + len(piece)), moved.permute(0, 3, 1, 2)
                if colours is not None:
                    pixels = recolour(pixels, colours[place])
                normalise(pixels, self.preprocessing, channels_last=self.channels_last, into=batch[place])
                done = place.stop
            yield batch

    def _colours(self, positions: NDArray[np.int64], epoch: int) -> Tensor | None:
        """What becomes of the colours of training views; None where they stay."""
        if epoch == EVALUATION:
            return None
        return draw_colours(self.augmentation, self.seed, epoch, positions, self.device)

    def _cut(
        self, store: Tensor, order: NDArray[np.int64], index: Tensor, batch_size: int, epoch: int
    ) -> Iterator[Tensor]:
        """Batches from the memory road's store, cropped, flipped and recoloured, not yet normalised."""
        moves = self._moves(order, epoch)
        group = batch_size * self._batches_at_once(batch_size)
        for start in range(0, len(order), group):
            part = slice(start, start + group)
            cut = self._cut_stored(store, order[part], index[part], epoch, moves[part])
            if epoch != EVALUATION:
                cut = flip(cut, moves.flip[part])
            colours = self._colours(order[part], epoch)
            yield from (cut if colours is None else recolour(cut, colours)).split(batch_size)

    def _moves(self, order: NDArray[np.int64], epoch: int) -> Moves:
        if epoch != EVALUATION:
            return draw_moves(self.augmentation, self.seed, epoch, order, self.device)
        centre = torch.full((len(order),), self._padding, device=self.device)
        return Moves(centre, centre, torch.zeros(len(order), dtype=torch.bool, device=self.device))

    def _cut_stored(self, images: Tensor, order: NDArray[np.int64], index: Tensor, epoch: int, moves: Moves) -> Tensor:
        """Views (B, 3, size, size) from the memory road's store: float32 for resized crops, else uint8."""
        if epoch == EVALUATION or not self.augmentation.of_whole:
            return windows(images, index, moves.top, moves.left, self._size)
        boxes = crop_boxes(self.augmentation, self.seed, epoch, order, *self._size)
        return resized_crop(images[index], boxes, self.preprocessing.size)

    def _batches_at_once(self, batch_size: int) -> int:
        if self.device.type == "cpu":
            return 1
        return max(1, _GROUP_BYTES // (batch_size * 3 * self.preprocessing.size**2))
