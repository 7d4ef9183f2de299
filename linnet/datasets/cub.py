"""CUB-200-2011 (Wah et al. 2011): 200 kinds of birds under 70 coarse classes, from the official files.

Papers 000, 003 and 004 use the official split: 5,994 training and 5,794 test images. The coarse class of a bird is the
last word of its name, which gives 70; the table that ships says so class by class. The published grouping of paper 000
has one slip, Green_tailed_Towhee under Tern instead of Towhee, which is mended here unless `official` is set.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from linnet.attributes import Attributes
from linnet.datasets import fetch
from linnet.datasets.coarse import coarse_table, grouped
from linnet.datasets.lists import FILES, find_folder, listed_manifest, read_pairs, read_photos, read_text
from linnet.errors import DataError
from linnet.hierarchy import first_few
from linnet.manifest import Manifest

__all__ = ["ATTRIBUTES", "FOLDER", "URL", "load"]

URL = "https://data.caltech.edu/records/65de6-vp158"
FOLDER = "CUB_200_2011"
ATTRIBUTES = "attributes/class_attribute_labels_continuous.txt"

_HOW = f"Fetch CUB_200_2011.tgz (1.2 GB) from {URL} and unpack it with 'tar xzf CUB_200_2011.tgz'"
_SLIP = {"Green_tailed_Towhee": "Tern"}


def load(root: Path | str | None = None, *, official: bool = False, described: bool = False) -> Manifest:
    """Read CUB-200-2011 as a manifest with levels ("coarse", "fine") and splits "train" and "test".

    Class names are the official ones without their number: "001.Black_footed_Albatross" is
    "Black_footed_Albatross". Fine classes keep the official order. A copy with some of the classes will do: the
    classes are those that have an image. Where the class attributes lie beside the lists they come along, as
    shares in 0..1 of the people who saw each of the 312 (the file says percent).

    Args:
        root: the folder `CUB_200_2011`, or the one that holds it; default as `fetch.data_root` says.
        official: keep the published grouping's slip, Green_tailed_Towhee under Tern.
        described: refuse a copy without class attributes: paper 000's CUB-HGTL has them.

    Raises:
        DataError: files are absent (says which, where they were looked for, and where they come from), cannot
            be read or do not fit together; names the lines.
        ManifestError: an image is listed twice.
    """
    folder = find_folder(fetch.data_root(root), FOLDER, FILES, "CUB-200-2011", _HOW)
    photos = read_photos(folder)
    names = {key: re.sub(r"^\d+\.", "", name) for key, name in photos.names.items()}
    groups = {**coarse_table("cub"), **(_SLIP if official else {})}
    taxonomy = grouped(list(names.values()), groups, f"{folder}/classes.txt")
    numbers = {key: number for number, key in enumerate(names)}
    if described and not (folder / ATTRIBUTES).is_file():
        raise DataError(f"CUB-HGTL: the class attributes are not there ({folder / ATTRIBUTES}). {_HOW}")
    return listed_manifest("cub", photos, taxonomy, numbers, _attributes(folder, names))


def _attributes(folder: Path, names: Mapping[str, str]) -> Attributes | None:
    """The class attributes, where the file is there: line i describes class id i."""
    path = folder / ATTRIBUTES
    if not path.is_file():
        return None
    rows = [line.split() for line in read_text(path).splitlines() if line.strip()]
    width = len(rows[0]) if rows else 0
    wrong = [f"line {n}: {len(row)} numbers, not {width}" for n, row in enumerate(rows, start=1) if len(row) != width]
    wrong += [f"class {key} ({name}) has no line" for key, name in names.items() if not _is_line(key, len(rows))]
    values = np.empty((0, width), dtype=np.float32)
    try:
        if not wrong:
            values = np.array([rows[int(key) - 1] for key in names], dtype=np.float32)
    except ValueError as error:
        wrong.append(str(error))
    if wrong or not np.isfinite(values).all():
        listed = first_few(wrong or ["a value is not finite"])
        raise DataError(f"{path}: not the official attributes, a line of percentages for each class id:\n{listed}")
    return Attributes(tuple(names.values()), _columns(folder, width), values / np.float32(100))


def _is_line(key: str, count: int) -> bool:
    return key.isdecimal() and 1 <= int(key) <= count


def _columns(folder: Path, width: int) -> tuple[str, ...]:
    """The attributes' names: attributes.txt, which the official archive puts beside CUB_200_2011."""
    for path in (folder / "attributes" / "attributes.txt", folder / "attributes.txt", folder.parent / "attributes.txt"):
        if path.is_file():
            found = tuple(read_pairs(path).texts.values())
            if len(found) != width:
                raise DataError(f"{path}: {len(found)} names for {width} attributes in {folder / ATTRIBUTES}")
            return found
    return tuple(f"attribute_{number}" for number in range(1, width + 1))
