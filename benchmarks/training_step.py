"""A whole CoIns training step beside the bare net's, and beside a plain PyTorch loop with a DataLoader.

    python benchmarks/training_step.py [--quick] [--json FILE] [--width 64] [--precision bf16] [--rounds 5]

*Small*: 50,000 images of 32 pixels in 20 coarse classes, the CIFAR ResNet-18 of the given width, batch 256. *Photos*:
JPEG files of 500 x 375 to random crops of 224 pixels, ResNet-18, batch 32. *The net alone* goes forward, backward from
a fixed gradient, and through the fused update, on one batch that lies ready: the most that any loop can reach. *linnet*
is the training loop itself: batches, both heads, checks, logs. *Plain* is what one writes in an afternoon: DataLoader
with torchvision's transforms, two linear heads, the instance logits masked to the coarse class, SGD; *without the
instance head* it has the coarse loss alone.

Every peer has a process of its own and the same threads and precision; rounds of some steps take turns. Plain peers and
one of the bare nets have the C library's allocator as it comes. Linnet keeps freed memory (see `training.allocator`),
and so does the other bare net, which is what all shares are of.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from input_road import MEAN, STD, SmallImages
from peers import rates, serve, take_turns
from photos import write_photos
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from linnet import files
from linnet.backbones import build_backbone
from linnet.manifest import Manifest, read_manifest
from linnet.methods import method_class
from linnet.randomness import generator, permutation, seeded
from linnet.recipes import Recipe, resolve
from linnet.taxonomy import Taxonomy
from linnet.training.allocator import keep_freed_memory
from linnet.training.data import prepare
from linnet.training.device import find_place
from linnet.training.environment import environment
from linnet.training.log import Bar
from linnet.training.loop import Loop
from linnet.training.optimizer import build_optimizer
from linnet.training.source import open_source

__all__ = ["main"]

COUNT, COARSE = 50_000, 20
Work = Callable[[], int]


def small_manifest() -> Manifest:
    """Random images, uint8 (N, 32, 32, 3), their classes in turn."""
    pixels = generator(0, "benchmark").integers(0, 256, (COUNT, 32, 32, 3), dtype=np.uint8)
    names = pa.array([str(number) for number in range(COUNT)])
    fine = np.arange(COUNT) % (5 * COARSE)
    classes = tuple(f"{c:02d}" for c in range(COARSE)), tuple(f"{f:03d}" for f in range(5 * COARSE))
    taxonomy = Taxonomy(("coarse", "fine"), classes, ((), tuple(f // 5 for f in range(5 * COARSE))))
    targets = np.stack([fine // 5, fine], axis=1).astype(np.int64)
    return Manifest("noise", Path(), names, taxonomy, targets, (), np.full(COUNT, -1, np.int8), pixels)


def settings(given: argparse.Namespace, photos: bool, **others: Any) -> Recipe:
    """The recipe of all peers: that of CIFAR-100, or of photographs."""
    common = {"precision": given.precision, "threads": given.threads, "device": "cpu", "compile": False, **others}
    common |= {"validation": 0.0, "select_on": "last"}
    if not photos:
        return resolve("cifar100/coins", {**common, "data": "", "width": given.width})
    size = {"image_size": 224, "resize": 256, "augment": "resized-crop", "workers": given.workers}
    return resolve("pets/coins", {**common, **size, "batch_size": 32, "pretrained": False, "backbone": "resnet18"})


def by_linnet(road: str, given: argparse.Namespace) -> Work:
    """Steps of the training loop."""
    photos = road != "memory"
    recipe = settings(given, photos, road=road)
    place = find_place(recipe)
    data = prepare(recipe, read_manifest(given.folder / "photos") if photos else small_manifest())
    preprocessing = _preprocessing(recipe)
    source = open_source(data, data.rows["train"], preprocessing, recipe, place, augmented=True)
    cls = method_class(recipe.method)
    with seeded(0, "weights"):
        backbone = build_backbone(recipe.backbone, width=recipe.width)
        method = cls(backbone, data.task(), cls.Options.model_validate(recipe.options))
    method.to(memory_format=torch.channels_last)
    loop = Loop(method, source, recipe, place, given.folder / f"run-{road}", dict, None, str, bar=False)
    optimizer, bar = build_optimizer(loop.stages[0], recipe), Bar(1, 0, False)
    if given.steps > loop.steps:
        raise SystemExit(f"--steps {given.steps}: an epoch has {loop.steps}; give fewer steps, or more --images")

    def work() -> int:
        loop.progress.step = loop.steps - given.steps
        loop._epoch(recipe.epochs, optimizer, bar)
        return given.steps * recipe.batch_size

    return work


def _preprocessing(recipe: Recipe) -> Any:
    from linnet.images import Preprocessing

    return Preprocessing(recipe.image_size, recipe.resize, MEAN, STD)


def net_alone(photos: bool, keep: bool, given: argparse.Namespace) -> Work:
    """Steps of the bare net on one batch."""
    recipe = settings(given, photos)
    if keep:
        keep_freed_memory()
    torch.set_num_threads(given.threads)
    net = build_backbone(recipe.backbone, width=recipe.width).to(memory_format=torch.channels_last)
    draw = torch.Generator().manual_seed(0)
    shape = recipe.batch_size, 3, recipe.image_size, recipe.image_size
    images = torch.randn(shape, generator=draw).to(memory_format=torch.channels_last)
    gradient = torch.randn(recipe.batch_size, net.dim, generator=draw) / 1000
    optimizer = torch.optim.SGD(net.parameters(), 1e-3, 0.9, weight_decay=5e-4, fused=True)

    def work() -> int:
        for _ in range(given.steps):
            with autocast(given):
                embedding = net(images)
            optimizer.zero_grad()
            embedding.float().backward(gradient)
            optimizer.step()
        return given.steps * recipe.batch_size

    return work


def autocast(given: argparse.Namespace) -> AbstractContextManager[object]:
    """The precision of every peer."""
    return torch.autocast("cpu", torch.bfloat16, enabled=given.precision == "bf16")


def plain(photos: bool, instance: bool, given: argparse.Namespace) -> Work:
    """Steps of a loop that knows torch and torchvision."""
    recipe = settings(given, photos)
    torch.set_num_threads(given.threads)
    data, coarse = plain_data(photos, given)
    net = build_backbone(recipe.backbone, width=recipe.width)
    coarse_head = nn.Linear(net.dim, int(coarse.max()) + 1, bias=False)
    instance_head = nn.Linear(net.dim, len(coarse) if instance else 1, bias=False)
    model = nn.ModuleList([net, coarse_head, instance_head])
    optimizer = torch.optim.SGD(model.parameters(), 1e-3, momentum=0.9, weight_decay=5e-4)
    batches = plain_batches(data, recipe.batch_size, given)

    def work() -> int:
        seen = 0
        for (images, _), index in next(batches):
            with autocast(given):
                embedding = net(images)
            embedding = embedding.float()
            loss = F.cross_entropy(coarse_head(embedding), coarse[index])
            if instance:
                other = coarse[index][:, None] != coarse[None]
                logits = instance_head(embedding).masked_fill(other, float("-inf"))
                loss = loss + 0.1 * F.cross_entropy(logits, index)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()  # a log
            seen += len(images)
        return seen

    return work


class Numbered(torch.utils.data.Dataset[Any]):
    """A data set whose items come with their numbers."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def __len__(self) -> int:
        """Number of images."""
        return len(self.data)

    def __getitem__(self, index: int) -> Any:
        """An item, and its number."""
        return self.data[index], index


def plain_data(photos: bool, given: argparse.Namespace) -> tuple[Any, Tensor]:
    """What torchvision has for the images, and their coarse classes (N,)."""
    if not photos:
        manifest = small_manifest()
        assert manifest.pixels is not None
        return Numbered(SmallImages(manifest.pixels)), torch.from_numpy(manifest.targets[:, 0].copy())
    steps = [transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip(), transforms.ToTensor()]
    folder = datasets.ImageFolder(
        str(given.folder / "photos"), transforms.Compose([*steps, transforms.Normalize(MEAN, STD)])
    )
    return Numbered(folder), torch.tensor(folder.targets)


def plain_batches(data: Any, batch: int, given: argparse.Namespace) -> Iterator[DataLoader[Any]]:
    """For each round a pass over as many images as its steps need; the workers live on."""
    order: list[int] = []
    loader: DataLoader[Any] = DataLoader(
        data, batch_size=batch, sampler=order, num_workers=given.workers, persistent_workers=given.workers > 0
    )
    number = 0
    while True:
        number += 1
        shuffled = permutation(len(data), 0, "benchmark", number)
        order[:] = np.resize(shuffled, given.steps * batch).tolist()
        yield loader


BARE = {False: "net alone, small", True: "net alone, photos"}
PEERS: dict[str, Callable[[argparse.Namespace], Work]] = {
    BARE[False]: partial(net_alone, False, True),
    "linnet, small": partial(by_linnet, "memory"),
    "net alone, default allocator, small": partial(net_alone, False, False),
    "plain, small": partial(plain, False, True),
    "plain without the instance head, small": partial(plain, False, False),
    BARE[True]: partial(net_alone, True, True),
    "linnet, files, photos": partial(by_linnet, "files"),
    "linnet, cache, photos": partial(by_linnet, "cache"),
    "plain, photos": partial(plain, True, True),
}


def report(given: argparse.Namespace) -> dict[str, Any]:
    """Measure the peers of each setting, and put them beside its bare net."""
    passed = {name: getattr(given, name) for name in ("folder", "width", "precision", "threads", "workers", "steps")}
    arguments = [part for name, value in passed.items() for part in (f"--{name}", str(value))]
    found: dict[str, dict[str, Any]] = {}
    for photos, bare in BARE.items():
        if photos:
            write_photos(given.folder / "photos", given.images)
        names = [name for name in PEERS if name.endswith("photos") == photos]
        taken = take_turns(__file__, names, arguments, given.rounds)
        found |= {name: rates(rounds) for name, rounds in taken.items()}
        for name in names:
            for per in ("images_per_s", "images_per_cpu_s"):
                found[name][f"of_bare_{per}"] = round(found[name][per] / found[bare][per], 3)
    return {
        "what": f"CoIns steps in {given.precision}: cifar-resnet18, width {given.width}, batch 256; resnet18 at 224 px",
        "conditions": given.conditions,
        **environment(torch.device("cpu")),
        **{name: getattr(given, name) for name in ("threads", "workers", "steps", "images")},
        "command": " ".join(["python", "benchmarks/training_step.py", *sys.argv[1:]]),
        "date": datetime.now(UTC).date().isoformat(),
        "peers": found,
    }


def main() -> None:
    """Measure, print a table, and write JSON when asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a narrow net, fewer steps and photos: within a minute")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--width", type=int)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--steps", type=int, help="in each round")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--images", type=int, help="photos")
    parser.add_argument("--conditions", default="not stated", help="what else the machine was doing")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--serve", choices=PEERS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    logging.getLogger("linnet").setLevel(logging.ERROR)  # the cache tells its size
    given.width = given.width or (16 if given.quick else 64)
    given.steps = given.steps or (2 if given.quick else 4)
    given.rounds = given.rounds or (1 if given.quick else 5)
    given.images = given.images or (64 if given.quick else 512)
    if given.serve:
        os.environ["XDG_CACHE_HOME"] = str(given.folder / "cache")
        serve(PEERS[given.serve](given))
        return
    with tempfile.TemporaryDirectory() as folder:
        given.folder = Path(folder)
        found = report(given)
    print(f"{'':40s}{'images/s':>10s}{'of bare':>9s}{'per CPU s':>11s}{'of bare':>9s}")
    for name, row in found["peers"].items():
        wall = f"{row['images_per_s']:10.1f}{row['of_bare_images_per_s']:9.3f}"
        print(f"{name:40s}{wall}{row['images_per_cpu_s']:11.1f}{row['of_bare_images_per_cpu_s']:9.3f}")
    if given.json:
        files.write_json(given.json, found)
        print(json.dumps({key: value for key, value in found.items() if key != "peers"}, indent=2))


if __name__ == "__main__":
    main()
