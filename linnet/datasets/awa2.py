"""Animals with Attributes 2 (Xian et al. 2018) as paper 000 has it: 50 animals under 15 coarse classes, 85 attributes.

AWA2-HGTL divides the 37,322 images of each animal 3 : 2 at random, about 22,393 to train on and 14,929 to test with.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from linnet.attributes import Attributes
from linnet.datasets import fetch
from linnet.datasets.coarse import coarse_table, grouped
from linnet.datasets.drawn import draw_split
from linnet.datasets.lists import find_folder, read_text
from linnet.errors import DataError
from linnet.hierarchy import first_few
from linnet.manifest import Manifest

__all__ = ["FOLDER", "MATRIX", "URL", "load", "load_classes"]

URL = "https://cvml.ista.ac.at/AwA2"
FOLDER = "Animals_with_Attributes2"
MATRIX = "predicate-matrix-continuous.txt"

_FILES = ("classes.txt", "predicates.txt", MATRIX)
_HOW = f"Fetch AwA2-data.zip (13 GB) from {URL} and unpack it with 'unzip AwA2-data.zip'"


def load(root: Path | str | None = None, *, seed: int = 0) -> Manifest:
    """Read AWA2-HGTL as a manifest with levels ("coarse", "fine"), splits "train" and "test", and attributes.

    Class names and their order are the official ones ("grizzly+bear"). A copy with some of the classes will do: the
    classes are those that have an image. Attributes are how strongly people associate each of 85 properties with the
    animal, 0..1 (the file says percent).

    Args:
        root: the folder `Animals_with_Attributes2`, or the one that holds it; default as `fetch.data_root` says.
        seed: which division into training and test images, see `drawn.draw_split`.

    Raises:
        DataError: files are absent (says which, where they were looked for, and where they come from), or are
            not the official ones; names the lines.
    """
    folder, names, photos = _find(root)
    there = [name for name in names if photos[name]]
    if not there:
        raise DataError(f"{folder / 'JPEGImages'}: no images NAME/*.jpg, NAME being one of classes.txt. {_HOW}")
    return _manifest(folder, names, photos, there, seed)


def load_classes(root: Path | str | None = None, *, seed: int = 0) -> Manifest:
    """As `load`; but where there is no image at all, the 50 classes and their descriptions without one.

    What can be said of the descriptions can then be said with AwA2-base.zip alone, before 13 GB are fetched.
    """
    folder, names, photos = _find(root)
    return _manifest(folder, names, photos, [name for name in names if photos[name]] or names, seed)


def _find(root: Path | str | None) -> tuple[Path, list[str], dict[str, list[Path]]]:
    """The folder, the official names of the classes, and the images of each."""
    folder = find_folder(fetch.data_root(root), FOLDER, _FILES, "Animals with Attributes 2", _HOW)
    names = _names(folder / _FILES[0])
    return folder, names, {name: sorted((folder / "JPEGImages" / name).glob("*.jpg")) for name in names}


def _manifest(folder: Path, names: list[str], photos: dict[str, list[Path]], there: list[str], seed: int) -> Manifest:
    """The manifest of the classes that are `there`."""
    columns = _names(folder / _FILES[1])
    taxonomy = grouped(there, coarse_table("awa2"), str(folder / "classes.txt"))
    fine = np.repeat(np.arange(len(there)), [len(photos[name]) for name in there])
    paths = [f"{name}/{path.name}" for name in there for path in photos[name]]
    return Manifest(
        source="awa2-hgtl",
        root=folder / "JPEGImages",
        images=pa.chunked_array([pa.array(paths, pa.string())]),
        taxonomy=taxonomy,
        targets=np.stack([taxonomy.ancestor()[fine], fine], axis=1),
        split_names=("train", "test"),
        split_codes=draw_split(fine, there, seed),
        attributes=_attributes(folder / MATRIX, names, columns),
    )


def _names(path: Path) -> list[str]:
    """The names of a list `number name`, numbered from 1 on."""
    lines = [line.split() for line in read_text(path).splitlines() if line.strip()]
    wrong = [f"line {n}: {' '.join(line)!r}" for n, line in enumerate(lines, start=1) if line[:-1] != [str(n)]]
    if wrong or not lines:
        raise DataError(
            f"{path}: not the official list of numbers from 1 on and names:\n{first_few(wrong or ['it is empty'])}"
        )
    return [line[1] for line in lines]


def _attributes(path: Path, names: list[str], columns: list[str]) -> Attributes:
    """The matrix of percentages: a line for each class, a number for each attribute."""
    lines = read_text(path).split("\n")
    try:
        values = np.array([line.split() for line in lines if line.strip()], dtype=np.float32)
    except ValueError as error:
        values, reason = np.empty(0, np.float32), str(error)
    else:
        reason = f"it has the shape {values.shape}"
    if values.shape != (len(names), len(columns)) or not np.isfinite(values).all():
        raise DataError(f"{path}: not the official {len(names)} lines of {len(columns)} percentages ({reason})")
    return Attributes(tuple(names), tuple(columns), values / np.float32(100))
