"""Images in files and a tiny run, for tests of indexes."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from linnet.datasets import load_data
from linnet.datasets.creatures import write_folder
from linnet.manifest import Manifest
from linnet.training.api import train
from linnet.training.run import Run
from tests.training.tiny import tiny_manifest, tiny_recipe


@cache
def _folder() -> Path:
    return Path(mkdtemp(prefix="linnet-search-"))


@cache
def tiny_run(method: str = "coins", seed: int = 0) -> Run:
    """A run on pixels."""
    recipe = tiny_recipe(method=method, epochs=1, seed=seed, validation=0.0, select_on="last")
    return train(recipe, _folder() / f"{method}-{seed}", tiny_manifest(), progress=False)


def photos(folder: Path, train_per_class: int = 3, test_per_class: int = 2) -> Manifest:
    """A manifest of drawn files: 24 classes."""
    write_folder(folder, size=16, train_per_class=train_per_class, test_per_class=test_per_class)
    return load_data(folder)
