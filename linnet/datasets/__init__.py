"""Data sets by name: readers of public ones, and the built-in synthetic ones."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from linnet.errors import DataError, nearest
from linnet.manifest import Manifest, read_manifest, with_attributes

__all__ = ["DRAWN", "KNOWN", "load_classes", "load_data"]

KNOWN: dict[str, tuple[str, dict[str, Any]]] = {
    "aircraft": ("linnet.datasets.aircraft", {}),
    "aircraft-validation": ("linnet.datasets.aircraft", {"validation": True}),
    "awa2-hgtl": ("linnet.datasets.awa2", {}),
    "cars": ("linnet.datasets.cars", {}),
    "cifar100": ("linnet.datasets.cifar100", {}),
    "creatures": ("linnet.datasets.creatures", {}),
    "creatures-pairs": ("linnet.datasets.creatures", {"pairs": True}),
    "cub": ("linnet.datasets.cub", {}),
    "cub-hgtl": ("linnet.datasets.cub", {"described": True}),
    "cub-official": ("linnet.datasets.cub", {"official": True}),
    "dogs": ("linnet.datasets.dogs", {}),
    "dogs-suffix": ("linnet.datasets.dogs", {"coarse": "suffix"}),
    "flowers": ("linnet.datasets.flowers", {}),
    "flowers-hgtl": ("linnet.datasets.flowers", {"split": "drawn"}),
    "imagenet": ("linnet.datasets.imagenet", {}),
    "imagenet-parents": ("linnet.datasets.imagenet", {"classes": "parents"}),
    "nabirds": ("linnet.datasets.nabirds", {}),
    "nabirds-suffix": ("linnet.datasets.nabirds", {"coarse": "suffix"}),
    "patches": ("linnet.datasets.patches", {}),
}
"""Every data set that has a name: the module whose `load(root, **options)` makes its manifest, and options that the
name stands for. A reading that changes classes or splits is a name of its own, so that a recipe says it in one word."""

DRAWN = ("awa2-hgtl", "flowers-hgtl")
"""Data sets whose split the option `seed` draws: a recipe's seed chooses it, so that seeds average over splits."""


def load_data(
    name_or_path: str | Path,
    root: Path | str | None = None,
    *,
    attributes: Path | str | None = None,
    **options: Any,
) -> Manifest:
    """The manifest of a known data set, or of a table or folder of images.

    Args:
        name_or_path: a name in `KNOWN`, or else a path; for a folder that bears a known name write
            "./creatures".
        root: where the known set's files lie (default: LINNET_DATA, else ~/.cache/linnet), or what the image
            paths in a table are relative to (default: the table's folder).
        attributes: a table of class descriptions, in place of those that a known set may come with; see
            `attributes.read_attributes`.
        options: passed to the known set's `load`, or to `read_manifest`.

    Raises:
        DataError: neither a known name nor a path that exists; lists the names. Also whatever the reader
            raises.
    """
    return _load("load", name_or_path, root, attributes, options)


def load_classes(
    name_or_path: str | Path,
    root: Path | str | None = None,
    *,
    attributes: Path | str | None = None,
    **options: Any,
) -> Manifest:
    """As `load_data`, for those who look at classes alone: a set that can tell its classes without images does so."""
    return _load("load_classes", name_or_path, root, attributes, options)


def _load(
    how: str, name_or_path: str | Path, root: Path | str | None, attributes: Path | str | None, options: dict[str, Any]
) -> Manifest:
    """By the known set's function `how`, or `load` where it has none of that name; or from a table or folder."""
    name = str(name_or_path)
    if name in KNOWN:
        known, meant = KNOWN[name]
        module = import_module(known)
        load: Callable[..., Manifest] = getattr(module, how, module.load)
        manifest = load(None if root is None else Path(root), **{**meant, **options})
        return with_attributes(manifest, attributes)
    path = Path(name_or_path).expanduser()
    if not path.exists():
        raise DataError(
            f"{name!r} is neither a known data set{nearest(name, KNOWN)} nor a file or folder (looked in "
            f"{Path.cwd()}). Known are {', '.join(KNOWN)}; anything else must be the path of a table "
            "(CSV, TSV, Parquet, JSON lines) or of a folder of images"
        )
    return read_manifest(path, root=None if root is None else Path(root), attributes=attributes, **options)
