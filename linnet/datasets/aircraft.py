"""FGVC-Aircraft (Maji et al. 2013): 100 variants of 70 families by 30 manufacturers, from the official lists.

3,334 training, 3,333 validation and 3,333 test images. Paper 004, as the field does, trains on the first two together
(6,667). At the bottom of every photo stands a banner of 20 pixels with its author; it is left in.
"""

from __future__ import annotations

from pathlib import Path

from linnet.datasets import fetch
from linnet.datasets.lists import Pairs, find_folder, read_pairs
from linnet.datasets.photo_list import photo_manifest
from linnet.errors import DataError
from linnet.hierarchy import first_few
from linnet.manifest import Manifest

__all__ = ["FOLDER", "LEVELS", "URL", "load"]

URL = "https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft"
FOLDER = "fgvc-aircraft-2013b"
LEVELS = ("manufacturer", "family", "variant")

_HOW = f"Fetch fgvc-aircraft-2013b.tar.gz (2.6 GB) from {URL} and unpack it with 'tar xzf fgvc-aircraft-2013b.tar.gz'"


def load(root: Path | str | None = None, *, validation: bool = False) -> Manifest:
    """Read FGVC-Aircraft as a manifest with levels ("manufacturer", "family", "variant").

    Class names are the official ones, such as "Boeing", "Boeing 737", "737-200"; sorted by name at each level.

    Args:
        root: the folder `fgvc-aircraft-2013b` (or the `data` in it), or the one that holds it; default as
            `fetch.data_root` says.
        validation: keep the official validation images apart, as split "validation"; else they are in "train".

    Raises:
        DataError: lists are absent (says which, where they were looked for, and where they come from), cannot be
            read or do not fit together; names the lines.
        ManifestError: an image is listed twice.
        TaxonomyError: a family of two manufacturers, a variant of two families; names the rows.
    """
    parts = {"train": ("train",), "validation": ("val",)} if validation else {"train": ("train", "val")}
    wanted = {**parts, "test": ("test",)}
    files = [_name(level, part) for named in wanted.values() for part in named for level in LEVELS]
    base = fetch.data_root(root)
    data = next((each for each in (base / "data", base / FOLDER / "data") if (each / files[0]).is_file()), None)
    folder = data or find_folder(base, f"{FOLDER}/data", files, "FGVC-Aircraft", _HOW)
    images: list[str] = []
    labels: list[tuple[str, ...]] = []
    places: list[str] = []
    counts = {}
    for split, named in wanted.items():
        before = len(images)
        for part in named:
            lists = [read_pairs(folder / _name(level, part)) for level in LEVELS]
            _check_same(lists)
            finest = lists[-1]
            images += [f"{key}.jpg" for key in finest.texts]
            labels += [tuple(each.texts[key] for each in lists) for key in finest.texts]
            places += [finest.where(key) for key in finest.texts]
        counts[split] = len(images) - before
    return photo_manifest("aircraft", folder / "images", images, LEVELS, labels, counts, places.__getitem__)


def _name(level: str, part: str) -> str:
    return f"images_{level}_{part}.txt"


def _check_same(lists: list[Pairs]) -> None:
    """Every image stands in the lists of all levels."""
    every = dict.fromkeys(key for each in lists for key in each.texts)
    problems = [f"{each.path.name}: no image {key}" for each in lists for key in every if key not in each.texts]
    if problems:
        raise DataError(
            f"{lists[0].path.parent}: lists that do not fit together:\n{first_few(problems)}\n"
            "Unpack the official archive again."
        )
