"""Images to batches: the memory road's share of a training step, the files road beside torchvision.

    python benchmarks/images.py [--images 512] [--workers 2] [--rounds 3]

Rounds of the peers alternate and the median counts, so that other load falls on both. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import PIL
import pyarrow as pa
import torch
import torchvision
from numpy.typing import NDArray
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from linnet.backbones import build_backbone
from linnet.images import Augmentation, ImageSource, Preprocessing
from linnet.manifest import Manifest, read_manifest
from linnet.randomness import generator
from linnet.taxonomy import Taxonomy

__all__ = ["main"]


def main() -> None:
    """Run both benchmarks and print their figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    figures = {
        "memory": memory_road(options.width, options.rounds, torch.device(options.device)),
        "files": files_road(options.images, options.workers, options.rounds),
        "machine": f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads",
        "versions": {
            "torch": torch.__version__,
            "torchvision": torchvision.__version__,
            "pillow": PIL.__version__,
        },
    }
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")


def memory_road(width: int, rounds: int, device: torch.device) -> dict[str, float]:
    """Milliseconds of a batch of 256 images of 32 pixels, of a ResNet-18 step on it, and the share."""
    count = 20 * 256
    pixels = generator(0, "benchmark").integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    names = pa.array([str(number) for number in range(count)])
    taxonomy = Taxonomy(("class",), (("one",),), ((),))
    manifest = Manifest(
        "noise",
        Path(),
        names,
        taxonomy,
        np.zeros((count, 1), np.int64),
        (),
        np.full(count, -1, np.int8),
        pixels,
    )
    source = ImageSource(
        manifest, np.arange(count), Preprocessing(32), Augmentation("crop"), device=device, channels_last=True
    )
    net = nn.Sequential(build_backbone("cifar-resnet18", width=width), nn.Linear(8 * width, 20)).to(device)
    net = net.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
    images = next(source.epoch(0, np.arange(count), 256)).images
    labels = torch.zeros(256, dtype=torch.int64, device=device)

    def step() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(images), labels).backward()
        optimizer.step()

    def batches() -> None:
        for _ in source.epoch(0, np.arange(count), 256):
            pass

    times = alternate({"batch": batches, "step": step}, rounds, device)
    batch, full = 1000 * times["batch"] / 20, 1000 * times["step"]
    return {
        "batch_ms": round(batch, 2),
        "step_ms": round(full, 1),
        "share_percent": round(100 * batch / full, 2),
    }


def files_road(count: int, workers: int, rounds: int) -> dict[str, float]:
    """Random resized crops to 224 of 500 x 375 JPEGs: images a second, ours and torchvision's."""
    with tempfile.TemporaryDirectory() as folder:
        write_photos(Path(folder), count)
        manifest = read_manifest(folder)
        source = ImageSource(
            manifest,
            np.arange(count),
            Preprocessing(224),
            Augmentation("resized-crop"),
            workers=workers,
            road="files",
        )
        steps = [
            transforms.RandomResizedCrop(224),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
        peer: DataLoader[tuple[torch.Tensor, torch.Tensor]] = DataLoader(
            datasets.ImageFolder(folder, transforms.Compose(steps)),
            batch_size=64,
            num_workers=workers,
            persistent_workers=workers > 0,
        )
        times = alternate(
            {
                "linnet": lambda: consume(batch.images for batch in source.epoch(0, np.arange(count), 64)),
                "torchvision": lambda: consume(batch[0] for batch in peer),
            },
            rounds,
            torch.device("cpu"),
        )
        source.close()
    ours, theirs = count / times["linnet"], count / times["torchvision"]
    return {
        "linnet": round(ours),
        "torchvision": round(theirs),
        "ratio": round(ours / theirs, 2),
        "workers": workers,
    }


def consume(batches: Iterator[torch.Tensor]) -> None:
    """Touch every batch."""
    for batch in batches:
        batch[0, 0, 0, 0].item()


def write_photos(folder: Path, count: int) -> None:
    """Photographs' stand-ins: smooth colour with fine noise, 500 x 375, quality 93, in class folders."""
    rng = generator(0, "photos")
    for number in range(count):
        smooth = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize((500, 375))
        noisy: NDArray[np.float64] = np.asarray(smooth) + rng.normal(0, 6, (375, 500, 3))
        target = folder / f"class{number % 4}" / f"{number}.jpg"
        target.parent.mkdir(exist_ok=True)
        Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(target, quality=93)


def alternate(peers: dict[str, Callable[[], None]], rounds: int, device: torch.device) -> dict[str, float]:
    """Median seconds of each peer over rounds that take turns, after one warm-up of each."""
    times: dict[str, list[float]] = {name: [] for name in peers}
    for number in range(rounds + 1):
        for name, work in peers.items():
            start = time.perf_counter()
            work()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if number:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


if __name__ == "__main__":
    main()
