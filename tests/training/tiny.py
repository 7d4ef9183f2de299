"""A recipe and data small enough to train in a second."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from linnet import files
from linnet.datasets import load_data
from linnet.manifest import Manifest
from linnet.recipes import Recipe
from linnet.training.checkpoint import Progress

SETTINGS: dict[str, Any] = {
    "data": "creatures",
    "image_size": 16,
    "augment": "crop",
    "padding": 2,
    "backbone": "cifar-resnet10",
    "width": 4,
    "method": "coarse",
    "epochs": 2,
    "batch_size": 32,
    "lr": 0.05,
    "precision": "fp32",
    "device": "cpu",
    "validation": 0.2,
    "recall_at": [1, 2],
}


def tiny_recipe(**settings: Any) -> Recipe:
    """The settings above, with some changed."""
    return Recipe.read({**SETTINGS, **settings})


def best_state(folder: Path) -> Path:
    """The file of a run's best epoch, as its newest checkpoint names it."""
    newest = files.read_json(folder / "checkpoints/index.json")[-1]
    return folder / "checkpoints" / Progress(**newest["progress"]).best_file


@cache
def tiny_manifest() -> Manifest:
    """Creatures at 16 pixels: 6 x 4 classes, 8 training and 4 test images each."""
    return load_data("creatures", size=16, train_per_class=8, test_per_class=4)
