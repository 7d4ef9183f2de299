"""Bundles of untrained methods on a tiny net, with classes, and images whose colour tells the class."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from linnet.backbones import build_backbone
from linnet.images import Preprocessing
from linnet.images.augment import normalise
from linnet.methods import method_class
from linnet.methods.base import Task
from linnet.randomness import seeded
from linnet.taxonomy import Taxonomy
from linnet.training.bundle import Bundle
from linnet.training.data import memberships
from tests.training.tiny import tiny_manifest

SIDE = 16


def make_bundle(method: str, backbone: str = "cifar-resnet10", **options: Any) -> Bundle:
    """A method on creatures, in eval mode."""
    taxonomy = tiny_manifest().taxonomy
    chosen, width = method_class(method), 4 if backbone.startswith("cifar") else None
    with seeded(0, "bundle"):
        described = torch.rand(taxonomy.count(1), 5)
        task = _task(taxonomy, described)
        made = chosen.build(lambda: build_backbone(backbone, width=width), task, chosen.Options.model_validate(options))
    card = {"method": method, "options": options, "backbone": backbone, "width": width, "start": "scratch"}
    return Bundle(made.eval(), taxonomy, 0, 1, Preprocessing(SIDE), card)


def _task(taxonomy: Taxonomy, described: Tensor) -> Task:
    membership = torch.from_numpy(taxonomy.membership(0, 1))
    means = membership.float() @ described / membership.sum(1, keepdim=True)
    return Task(membership, memberships=memberships(taxonomy, 1), coarse_attributes=means, fine_attributes=described)


def pictures(count: int) -> tuple[Tensor, Tensor]:
    """Normalised creatures (n, 3, 16, 16), n at most 96, and their fine classes."""
    manifest = tiny_manifest()
    assert manifest.pixels is not None
    rows = torch.arange(count) * (len(manifest) // count)
    pixels = torch.from_numpy(manifest.pixels[rows.numpy()]).permute(0, 3, 1, 2)
    return normalise(pixels, Preprocessing(SIDE)), torch.from_numpy(manifest.targets[rows.numpy(), 1])
