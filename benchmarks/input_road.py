"""Roads from images to normalised batches beside torchvision's: first epoch, epochs from the cache, small images.

    python benchmarks/input_road.py [--quick] [--json FILE] [--images 512] [--workers 2] [--rounds 5]

*Photos*: JPEG files of 500 x 375 to random resized crops of 224 pixels, flipped and normalised, in batches of 64. The
peer is ImageFolder with RandomResizedCrop, RandomHorizontalFlip, ToTensor and Normalize behind a DataLoader. The cache
is built once, which is timed beside the epochs: a run pays for it in place of the check that decodes every file before
training, which an epoch of the files does not count; *check and first epoch* counts both. *Small*: 32 pixels, shifted
by up to 4, flipped and normalised, in batches of 256; the peer is a data set over an array, as torchvision's CIFAR100,
behind a DataLoader.

Every peer has a process of its own with as many workers, one thread each; rounds of one epoch take turns. Images per
CPU second count the CPU time of all of a peer's processes: what one core would do. They bear other load better than
wall time does.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from peers import rates, serve, take_turns
from photos import write_photos
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import datasets, transforms

from linnet import files
from linnet.images import Augmentation, ImageSource, Preprocessing, Road, check_images
from linnet.images.jpeg import decoder_name
from linnet.manifest import Manifest, read_manifest
from linnet.randomness import generator, permutation
from linnet.taxonomy import Taxonomy
from linnet.training.allocator import keep_freed_memory
from linnet.training.environment import environment

__all__ = ["main"]

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PEER, SMALL_PEER = "torchvision, photos", "torchvision, small"
SMALL_COUNT = 20 * 256
Work = Callable[[], int]


def photos_by(road: Road, given: argparse.Namespace) -> Work:
    """An epoch of Linnet's over the photos; from the cache, one that was there before."""
    keep_freed_memory()  # as a training run on a CPU does
    manifest = read_manifest(given.folder / "photos")
    rows = np.arange(len(manifest))
    source = ImageSource(
        manifest,
        rows,
        Preprocessing(224, 256),
        Augmentation("resized-crop"),
        workers=given.workers,
        road=road,
        channels_last=True,
    )
    return epochs_of(source, 64)


def epochs_of(source: ImageSource, batch: int) -> Work:
    """An epoch at each call, in an order of its own."""
    epoch = count()

    def work() -> int:
        number = next(epoch)
        order = permutation(len(source), 0, "benchmark", number)
        return consume(batch.images for batch in source.epoch(number, order, batch))

    return work


def checked_photos(given: argparse.Namespace) -> Work:
    """What a run from files goes through before its second epoch: the check that decodes all, and an epoch."""
    epoch, manifest = photos_by("files", given), read_manifest(given.folder / "photos")

    def work() -> int:
        check_images(manifest, workers=given.workers)
        return epoch()

    return work


def build_cache(given: argparse.Namespace) -> Work:
    """The pass over the files that makes the cache, from nothing each time."""
    manifest, number = read_manifest(given.folder / "photos"), count()

    def work() -> int:
        os.environ["XDG_CACHE_HOME"] = str(given.folder / f"built-{next(number)}")
        ImageSource(
            manifest, np.arange(len(manifest)), Preprocessing(224, 256), Augmentation("resized-crop"), road="cache"
        )
        return len(manifest)

    return work


def photos_by_torchvision(given: argparse.Namespace) -> Work:
    """An epoch as torchvision's examples have it."""
    steps = [
        transforms.RandomResizedCrop(224),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize(MEAN, STD),
    ]
    return loaded(datasets.ImageFolder(str(given.folder / "photos"), transforms.Compose(steps)), 64, given.workers)


class SmallImages(Dataset[tuple[torch.Tensor, int]]):
    """An array of images, taken one at a time as torchvision's CIFAR100 does."""

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self.pixels = pixels
        self.steps = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
            ]
        )

    def __len__(self) -> int:
        """Number of images."""
        return len(self.pixels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        """One image, augmented, and a label."""
        return self.steps(Image.fromarray(self.pixels[index])), 0


def small_pixels() -> NDArray[np.uint8]:
    """Random images, uint8 (N, 32, 32, 3)."""
    return generator(0, "benchmark").integers(0, 256, (SMALL_COUNT, 32, 32, 3), dtype=np.uint8)


def small_in_memory(given: argparse.Namespace) -> Work:
    """An epoch of Linnet's over small images."""
    keep_freed_memory()
    names = pa.array([str(number) for number in range(SMALL_COUNT)])
    taxonomy = Taxonomy(("class",), (("one",),), ((),))
    targets, splits = np.zeros((SMALL_COUNT, 1), np.int64), np.full(SMALL_COUNT, -1, np.int8)
    manifest = Manifest("noise", Path(), names, taxonomy, targets, (), splits, small_pixels())
    rows = np.arange(SMALL_COUNT)
    return epochs_of(ImageSource(manifest, rows, Preprocessing(32), Augmentation("crop"), channels_last=True), 256)


def loaded(data: Dataset[Any], batch: int, workers: int) -> Work:
    """An epoch of a DataLoader, whose processes live on."""
    loader: DataLoader[Any] = DataLoader(
        data, batch_size=batch, shuffle=True, num_workers=workers, persistent_workers=workers > 0
    )
    return lambda: consume(images for images, _ in loader)


def consume(batches: Iterable[torch.Tensor]) -> int:
    """Touch every batch, and count its images."""
    images = 0
    for batch in batches:
        batch[0, 0, 0, 0].item()
        images += len(batch)
    return images


PEERS: dict[str, Callable[[argparse.Namespace], Work]] = {
    PEER: photos_by_torchvision,
    "linnet, files": partial(photos_by, "files"),
    "linnet, check and first epoch": checked_photos,
    "linnet, building the cache": build_cache,
    "linnet, from the cache": partial(photos_by, "cache"),
    SMALL_PEER: lambda given: loaded(SmallImages(small_pixels()), 256, given.workers),
    "linnet, memory (small)": small_in_memory,
}


def report(given: argparse.Namespace, kilobytes: float) -> dict[str, Any]:
    """Measure all peers, and put them beside torchvision's."""
    arguments = ["--folder", str(given.folder), "--workers", str(given.workers)]
    taken = take_turns(__file__, list(PEERS), arguments, given.rounds)
    found = {name: rates(rounds) for name, rounds in taken.items()}
    for name, row in found.items():
        peer = found[SMALL_PEER if "small" in name else PEER]
        row["ratio"] = round(row["images_per_s"] / peer["images_per_s"], 2)
        row["ratio_per_core"] = round(row["images_per_cpu_s"] / peer["images_per_cpu_s"], 2)
    return {
        "what": f"{given.images} JPEGs of 500 x 375, {kilobytes:.0f} kB on average; {SMALL_COUNT} images of 32 pixels",
        "conditions": given.conditions,
        **environment(torch.device("cpu")),
        "decoder": decoder_name(),
        "workers": given.workers,
        "command": " ".join(["python", "benchmarks/input_road.py", *sys.argv[1:]]),
        "date": datetime.now(UTC).date().isoformat(),
        "peers": found,
    }


def main() -> None:
    """Measure, print a table, and write JSON when asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer images and rounds: within a minute")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--images", type=int)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--conditions", default="not stated", help="what else the machine was doing")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--serve", choices=PEERS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger("linnet").setLevel(logging.ERROR)  # the cache tells its size
    if given.serve:
        os.environ.setdefault("XDG_CACHE_HOME", str(given.folder / "cache"))
        serve(PEERS[given.serve](given))
        return
    given.images = given.images or (128 if given.quick else 512)
    given.rounds = given.rounds or (2 if given.quick else 5)
    with tempfile.TemporaryDirectory() as folder:
        given.folder = Path(folder)
        os.environ["XDG_CACHE_HOME"] = str(given.folder / "cache")
        start = time.perf_counter()
        found = report(given, write_photos(given.folder / "photos", given.images))
    print(f"{'':30s}{'images/s':>10s}{'ratio':>8s}{'per CPU s':>12s}{'ratio':>8s}")
    for name, row in found["peers"].items():
        columns = f"{row['images_per_s']:10.0f}{row['ratio']:8.2f}{row['images_per_cpu_s']:12.0f}"
        print(f"{name:30s}{columns}{row['ratio_per_core']:8.2f}")
    print(f"{time.perf_counter() - start:.0f} s in all")
    if given.json:
        files.write_json(given.json, found)
        print(json.dumps({key: value for key, value in found.items() if key != "peers"}, indent=2))


if __name__ == "__main__":
    main()
