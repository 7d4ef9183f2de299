"""Oxford Flowers-102 (Nilsback & Zisserman 2008) under botany: 102 kinds of flowers in 96 genera and 47 families.

Flowers-HGTL of paper 000 divides the 8,189 images of each kind 3 : 2 at random and groups the kinds into 47 coarse
classes that it does not list. Here they are grouped by botanical family, and between family and kind stands the genus:
a table that ships says so class by class, and how doubtful cases were decided. Work between other levels with
coarse = "genus". Description vectors do not come with the set: give a table of them with attributes = "FILE".
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from linnet.datasets import fetch
from linnet.datasets.coarse import table_lines
from linnet.datasets.drawn import draw_split
from linnet.datasets.lists import find_folder
from linnet.errors import DataError
from linnet.manifest import Manifest
from linnet.taxonomy import Taxonomy

__all__ = ["FOLDER", "URL", "load", "taxonomy"]

URL = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102"
FOLDER = "flowers-102"

_FILES = ("imagelabels.mat", "setid.mat")
_SPLITS = {"train": "trnid", "validation": "valid", "test": "tstid"}
_HOW = (
    f"Fetch 102flowers.tgz (345 MB), imagelabels.mat and setid.mat from {URL} and put them into one folder, with the "
    "archive's jpg/ unpacked beside the two files"
)


def taxonomy() -> Taxonomy:
    """The levels ("family", "genus", "species"); species are the 102 classes in the order of their labels."""
    lines = table_lines("flowers")
    family = {genus: parent for _, genus, parent in lines}
    families, genera = sorted(set(family.values())), sorted(family)
    return Taxonomy(
        ("family", "genus", "species"),
        (tuple(families), tuple(genera), tuple(name for name, _, _ in lines)),
        (
            (),
            tuple(families.index(family[genus]) for genus in genera),
            tuple(genera.index(genus) for _, genus, _ in lines),
        ),
    )


def load(
    root: Path | str | None = None, *, split: Literal["official", "drawn"] = "official", seed: int = 0
) -> Manifest:
    """Read Flowers-102 as a manifest with levels ("family", "genus", "species").

    Args:
        root: the folder with `jpg`, `imagelabels.mat` and `setid.mat`, or the one that holds it as `flowers-102`;
            default as `fetch.data_root` says.
        split: "official" has splits "train", "validation" (1,020 images each) and "test" (6,149); "drawn" is paper
            000's, "train" and "test" at 3 : 2 of each species.
        seed: which draw, see `drawn.draw_split`.

    Raises:
        DataError: files are absent (says which, where they were looked for, and where they come from), or are not the
            official ones.
    """
    folder = find_folder(fetch.data_root(root), FOLDER, _FILES, "Flowers-102", _HOW)
    tree = taxonomy()
    labels = _numbers(folder / _FILES[0], "labels")
    if not len(labels) or labels.min() < 1 or labels.max() > tree.count(-1):
        raise DataError(f"{folder / _FILES[0]}: labels are not in 1..{tree.count(-1)}; fetch it again from {URL}")
    fine = labels - 1
    names: tuple[str, ...] = ("train", "test") if split == "drawn" else tuple(_SPLITS)
    codes = draw_split(fine, tree.classes[-1], seed) if split == "drawn" else _official(folder / _FILES[1], len(fine))
    paths = [f"image_{number:05d}.jpg" for number in range(1, len(fine) + 1)]
    return Manifest(
        source="flowers",
        root=folder / "jpg",
        images=pa.chunked_array([pa.array(paths, pa.string())]),
        taxonomy=tree,
        targets=np.stack([tree.ancestor(-1, level)[fine] for level in range(3)], axis=1),
        split_names=names,
        split_codes=codes,
    )


def _official(path: Path, count: int) -> NDArray[np.int8]:
    """The split of each image; every image has one."""
    codes = np.full(count, -1, dtype=np.int8)
    for code, name in enumerate(_SPLITS.values()):
        numbers = _numbers(path, name)
        if len(numbers) and (numbers.min() < 1 or numbers.max() > count or (codes[numbers - 1] >= 0).any()):
            raise DataError(f"{path}: {name} does not fit {count} images; fetch it again from {URL}")
        codes[numbers - 1] = code
    if (codes < 0).any():
        raise DataError(f"{path}: {(codes < 0).sum()} of {count} images have no split; fetch it again from {URL}")
    return codes


def _numbers(path: Path, name: str) -> NDArray[np.int64]:
    """One vector of a .mat file, int64 (n,)."""
    from scipy.io import loadmat

    try:
        return np.asarray(loadmat(path, variable_names=[name])[name].ravel(), dtype=np.int64)
    except KeyError:
        reason = f"it holds no {name}"
    except Exception as error:  # whatever a damaged file makes of scipy's reader
        reason = str(error) or type(error).__name__
    raise DataError(f"{path}: not the official file ({reason}); fetch it again from {URL}")
