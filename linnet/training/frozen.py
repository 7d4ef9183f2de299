"""A frozen backbone: its feature maps of all images are computed once, and batches carry them in place of images.

The maps are those of the evaluation view and of its mirror image: there are no random crops in this mode. They are kept
as 16-bit floats in the cache folder, for all runs of the same net on the same images, whatever the method, the split or
the seed. What decides them is in the folder's name or in what identifies an image; where any of it changes, they are
computed anew: the net's name and the bits of its weights, the preprocessing, versions, kind of device, and each image's
path, size and time of change, or its pixels where they come as an array.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from linnet import files
from linnet.backbones import Backbone
from linnet.backbones.precomputed import Precomputed
from linnet.backbones.together import Together
from linnet.errors import NonFiniteError, RecipeError
from linnet.images import Augmentation, Preprocessing
from linnet.images.check import cores, file_stamp, image_paths
from linnet.images.jpeg import decoder_name
from linnet.manifest import Manifest
from linnet.methods.base import Method
from linnet.recipes import Recipe
from linnet.training.data import TrainingData
from linnet.training.device import Place
from linnet.training.environment import environment
from linnet.training.feature_file import FeatureFile, Maps
from linnet.training.feature_source import FeatureSource
from linnet.training.log import Bar
from linnet.training.source import open_source

__all__ = ["Frozen", "frozen_backbone"]

_logger = logging.getLogger("linnet")

_VERSION = 1
_AT_ONCE = 64
"""Images that the net sees at once, whatever the recipe's batch: the last bits of a map can depend on it."""

Rows = NDArray[np.int64]


@contextmanager
def frozen_backbone(method: Method) -> Iterator[Backbone]:
    """Let feature maps pass through a method in place of images; the net is yielded, and put back in the end.

    Raises:
        RecipeError: the method has several nets, and they differ, or is an ensemble.
    """
    if isinstance(method.backbone, Together):
        raise RecipeError("frozen = true: members learn where to look, which a frozen net cannot; leave frozen out")
    found = [
        (parent, name, child)
        for parent in method.modules()
        for name, child in parent.named_children()
        if isinstance(child, Backbone) and not isinstance(parent, Backbone)
    ]
    nets = [net for _, _, net in found]
    if len(nets) > 1 and len({_bits(net) for net in nets}) > 1:
        raise RecipeError(
            f"frozen = true: the method has {len(nets)} nets with weights of their own, and no map would do for all; "
            "leave frozen out"
        )
    for parent, name, net in found:
        setattr(parent, name, Precomputed(net))
    try:
        yield nets[0].eval()
    finally:
        for parent, name, net in found:
            setattr(parent, name, net)


@dataclass(frozen=True)
class Frozen:
    """A net that makes feature maps, and all that decides them besides the images.

    Attributes:
        net: in eval mode.
        preprocessing: the evaluation view.
        recipe, place: where and how images are read and the net runs.
        progress: show a bar; None shows it on a terminal.
    """

    net: Backbone
    preprocessing: Preprocessing
    recipe: Recipe
    place: Place
    progress: bool | None = None

    def open(self, data: TrainingData, rows: Rows) -> FeatureSource:
        """A source of the feature maps of `rows` (N,); those that are lacking, or damaged, are computed now.

        Raises:
            ImageError: images that cannot be decoded.
            RecipeError: the maps cannot be written, or do not come back as they were written.
            NonFiniteError: a map holds values that 16 bits cannot.
        """
        images = _identify(data.manifest, rows)
        folder = self._folder()
        try:
            files.make_folder(folder)
            with files.locked(folder / "lock"):
                file = FeatureFile(folder)
                self._complete(file, images, data, rows)
        except OSError as error:
            raise RecipeError(
                f"frozen = true: {folder} cannot be written ({error.strerror or error}); make room, or set "
                "XDG_CACHE_HOME to a folder elsewhere"
            ) from None
        return FeatureSource(
            file.maps(),
            file.places(images),
            torch.from_numpy(data.manifest.targets[rows]).to(self.place.device),
            Augmentation("crop", padding=0, flip=self.recipe.flip),
            self.recipe.seed,
            self.place.device,
            self.recipe.channels_last,
        )

    def _folder(self) -> Path:
        """Where the maps lie, by all that they have in common; puts the net where and how it will run."""
        self.net.to(self.place.device)
        if self.recipe.channels_last:
            nn.Module.to(self.net, memory_format=torch.channels_last)
        made_by = [_VERSION, self.recipe.backbone, self.recipe.width, _bits(self.net), self.preprocessing.to_json()]
        made_by += [self.recipe.channels_last, decoder_name(), environment(self.place.device)["versions"]]
        key = hashlib.sha256(json.dumps([*made_by, self.place.device.type]).encode()).hexdigest()[:16]
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", self.recipe.backbone)
        return files.cache_folder() / "features" / f"{name}-{self.preprocessing.size}px-{key}"

    def _complete(self, file: FeatureFile, images: list[str], data: TrainingData, rows: Rows) -> None:
        """Compute what a file lacks of some images, and then look at all of it."""
        for _ in range(2):
            places = file.places(images)
            lacking = np.flatnonzero(~file.sound(places, cores()))
            if not len(lacking):
                return
            damaged = places[lacking][places[lacking] >= 0]
            if len(damaged):
                _logger.warning(
                    "%s: %s feature maps are damaged (their checksums differ); they are computed again",
                    file.folder,
                    f"{len(damaged):,}",
                )
                file.drop(damaged.tolist())
            self._compute(file, [images[n] for n in lacking.tolist()], data, rows[lacking])
        raise RecipeError(f"frozen = true: {file.folder} does not give back what was written to it; check the disk")

    def _compute(self, file: FeatureFile, images: list[str], data: TrainingData, rows: Rows) -> None:
        """Add the maps of some rows to a file."""
        began = time.monotonic()
        source = open_source(data, rows, self.preprocessing, self.recipe, self.place)
        bar = Bar(len(rows), 0, self.progress if self.place.main else False)
        bar.say("feature maps")
        try:
            for batch in source.sequential(_AT_ONCE):
                maps = _both(self.net, batch.images)
                if bar.done == 0:
                    _check_room(file.folder, maps.nbytes // len(maps) * len(rows))
                file.add(images[bar.done : bar.done + len(maps)], maps)
                bar.advance(len(maps))
        finally:
            bar.close()
            source.close()
            file.save()
        seconds, count = time.monotonic() - began, f"{len(rows):,}"
        _logger.info("feature maps of %s images and their mirrors: %.0f s; kept in %s", count, seconds, file.folder)


@torch.inference_mode()
def _both(net: Backbone, images: Tensor) -> Maps:
    """Maps of images (n, 3, S, S) and of their mirror images, in float32 until they are kept."""
    maps = torch.stack([net.features(view).float() for view in (images, images.flip(3))], 1)
    kept = maps.permute(0, 1, 3, 4, 2).to(torch.float16, memory_format=torch.contiguous_format)
    if not bool(torch.isfinite(kept).all()):
        raise NonFiniteError(
            f"frozen = true: the net's feature maps reach {float(maps.abs().max()):g}, and 16 bits hold 65,504; "
            "train this net with frozen = false"
        )
    return np.asarray(kept.cpu().numpy())


def _check_room(folder: Path, wanted: int) -> None:
    free = shutil.disk_usage(folder).free
    if wanted > free:
        raise RecipeError(
            f"frozen = true would keep {wanted / 1e9:,.1f} GB of feature maps in {folder}, which has "
            f"{free / 1e9:,.1f} GB free; set XDG_CACHE_HOME to a folder elsewhere, or give a smaller image_size"
        )


def _bits(net: nn.Module) -> str:
    """SHA-256 of all weights and buffers, with their names."""
    state = hashlib.sha256()
    for name, value in net.state_dict().items():
        state.update(repr((name, tuple(value.shape), str(value.dtype))).encode())
        state.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return state.hexdigest()


def _identify(manifest: Manifest, rows: Rows) -> list[str]:
    """What tells each image of some rows from any other, and from itself before it was changed."""
    if manifest.pixels is not None:
        pixels = manifest.pixels
        sums = (hashlib.blake2b(np.ascontiguousarray(pixels[row]).data, digest_size=16) for row in rows.tolist())
        return [f"{pixels.shape[1:]} {each.hexdigest()}" for each in sums]
    paths = image_paths(manifest, rows)
    with ThreadPoolExecutor(8) as pool:
        return [f"{path} {stamp}" for path, stamp in zip(paths, pool.map(file_stamp, paths), strict=True)]
