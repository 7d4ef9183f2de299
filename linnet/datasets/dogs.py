"""Stanford Dogs (Khosla et al. 2011): 120 breeds, 12,000 training and 8,580 test images, from the official files.

Two groupings of the breeds as coarse classes:

- the table that ships (52): the last word of the breed's name, but compounds count as their second part (bloodhound:
  hound), names that leave their kind out get it (Airedale: terrier), and "dog", which is no kind, is divided.
- `coarse="suffix"`, the last word alone (78), which is as near as the names come to the 72 that paper 003 reports; it
  does not list them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa

from linnet.datasets import fetch
from linnet.datasets.coarse import coarse_table, grouped
from linnet.datasets.lists import find_folder, read_text
from linnet.errors import DataError
from linnet.hierarchy import first_few, suffix
from linnet.manifest import Manifest
from linnet.manifest_read import check_image_names
from linnet.tables import Places

__all__ = ["FOLDER", "URL", "load"]

URL = "http://vision.stanford.edu/aditya86/ImageNetDogs"
FOLDER = "stanford_dogs"

_LISTS = ("train_list", "test_list")
_HOW = (
    f"Fetch images.tar (757 MB) and lists.tar from {URL} and unpack both into one folder, with Images/ beside "
    "train_list.mat and test_list.mat (or beside train_list.txt and test_list.txt, an image path a line)"
)


def load(root: Path | str | None = None, *, coarse: Literal["table", "suffix"] = "table") -> Manifest:
    """Read Stanford Dogs as a manifest with levels ("coarse", "fine") and splits "train" and "test".

    An image's class is its folder, "n02085620-Chihuahua", and is called by what follows the WordNet number; classes
    keep the order of the folders, which is the official one. Breeds without an image are left out.

    Args:
        root: the folder with `Images` and the lists (or the lists in `lists`), or the one that holds it as
            `stanford_dogs`; default as `fetch.data_root` says.
        coarse: the grouping, see the module's text.

    Raises:
        DataError: files are absent (says which, where they were looked for, and where they come from), are no
            such lists, or name an image that is in no breed's folder; names the rows.
        ManifestError: an image is listed twice.
    """
    parts = _find(fetch.data_root(root))
    paths = {path.name: _read(path) for path in parts}
    names = [f"{name}, row {number}" for name, listed in paths.items() for number in range(1, len(listed) + 1)]
    images = [path for listed in paths.values() for path in listed]
    folders = [re.fullmatch(r"n\d{8}-([^/]+)/[^/]+", path) for path in images]
    wrong = [f"{where}: {path!r}" for where, path, found in zip(names, images, folders, strict=True) if not found]
    if wrong:
        raise DataError(f"{parts[0].parent}: images outside a breed's folder n00000000-NAME:\n{first_few(wrong)}")
    labels = [path.split("/")[0] for path in images]
    breeds = {label: label.split("-", 1)[1] for label in sorted(set(labels))}
    groups = coarse_table("dogs") if coarse == "table" else {name: suffix(name) for name in breeds.values()}
    taxonomy = grouped(list(breeds.values()), groups, str(parts[0].parent))
    numbers = {label: number for number, label in enumerate(breeds)}
    fine = np.array([numbers[label] for label in labels], dtype=np.int64)
    counts = [len(listed) for listed in paths.values()]
    manifest = Manifest(
        source="dogs",
        root=_images(parts[0].parent),
        images=pa.chunked_array([pa.array(images, pa.string())]),
        taxonomy=taxonomy,
        targets=np.stack([taxonomy.ancestor()[fine], fine], axis=1),
        split_names=("train", "test"),
        split_codes=np.repeat(np.arange(2, dtype=np.int8), counts),
        places=Places("row", np.arange(1, len(images) + 1)),
    )
    check_image_names(manifest.images, "dogs", lambda row: names[row])
    return manifest


def _find(root: Path) -> tuple[Path, Path]:
    """The two lists, as .mat or as text."""
    for folder in (root, root / FOLDER, root / "lists", root / FOLDER / "lists"):
        for ending in (".mat", ".txt"):
            train, test = (folder / f"{name}{ending}" for name in _LISTS)
            if train.is_file() and test.is_file():
                return train, test
    find_folder(root, FOLDER, [f"{name}.mat" for name in _LISTS], "Stanford Dogs", _HOW)
    raise AssertionError("find_folder says what is missing")


def _images(folder: Path) -> Path:
    """Images/ stands beside the lists, or beside the folder that holds them."""
    beside = folder / "Images"
    return folder.parent / "Images" if folder.name == "lists" and not beside.is_dir() else beside


def _read(path: Path) -> Sequence[str]:
    """Image paths of one list, relative to Images/."""
    if path.suffix == ".txt":
        return [line.strip() for line in read_text(path).splitlines() if line.strip()]
    from scipy.io import loadmat

    try:
        found = loadmat(path, variable_names=["file_list"])["file_list"]
        return [str(cell.item()) for cell in found.ravel()]
    except KeyError:
        reason = "it holds no file_list"
    except Exception as error:  # whatever a damaged file makes of scipy's reader
        reason = str(error) or type(error).__name__
    raise DataError(f"{path}: not the official list ({reason}); unpack lists.tar from {URL} again")
