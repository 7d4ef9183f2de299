"""The lists that CUB-200-2011 and NABirds ship: `id text` a line, one file each for images, labels, splits, classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from linnet.attributes import Attributes
from linnet.errors import DataError
from linnet.hierarchy import first_few
from linnet.manifest import Manifest
from linnet.manifest_read import check_image_names
from linnet.tables import Places
from linnet.taxonomy import Taxonomy

__all__ = ["FILES", "Pairs", "Photos", "find_folder", "listed_manifest", "read_pairs", "read_photos", "read_text"]

FILES = ("images.txt", "image_class_labels.txt", "train_test_split.txt", "classes.txt")
"""Image id to path, image id to class id, image id to 1 (train) or 0 (test), class id to name."""

_SPLITS = {"1": 0, "0": 1}


@dataclass(frozen=True)
class Pairs:
    """The lines of one list: text and line number (from 1) by id, in the order of the file."""

    path: Path
    texts: Mapping[str, str]
    lines: Mapping[str, int]

    def where(self, key: str) -> str:
        """The place of an id for messages: 'images.txt, line 17'."""
        return f"{self.path.name}, line {self.lines[key]}"


@dataclass(frozen=True)
class Photos:
    """What the lists say of each image, (N,) each, and the classes.

    Attributes:
        folder: where the lists lie.
        paths: image paths as listed; `lines` their line numbers in images.txt.
        classes: class id of each image.
        codes: 0 train, 1 test; int8.
        names: class id to name, in the order of classes.txt; only classes that have an image.
    """

    folder: Path
    paths: Sequence[str]
    lines: Sequence[int]
    classes: Sequence[str]
    codes: NDArray[np.int8]
    names: Mapping[str, str]


def find_folder(root: Path, name: str, files: Sequence[str], what: str, how: str) -> Path:
    """`root` or `root/name`, whichever holds all the files.

    Raises:
        DataError: neither does; says which are missing, where they were looked for, and `how` to get them.
    """
    for folder in (root, root / name):
        if all((folder / file).is_file() for file in files):
            return folder
    here = root.name == name or any((root / file).is_file() for file in files)
    folder = root if here else root / name
    missing = ", ".join(repr(file) for file in files if not (folder / file).is_file())
    raise DataError(
        f"{what}: the files {missing} are not in {folder} (looked in {root} and {root / name}). {how}, and point "
        f"--root or the environment variable LINNET_DATA at the folder that holds {name}/"
    )


def read_text(path: Path) -> str:
    """The text of a list.

    Raises:
        DataError: it cannot be read (absent, no permission, not text).
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise DataError(f"{path}: cannot be read ({reason}); mend it, or unpack the official archive again") from None


def read_pairs(path: Path) -> Pairs:
    """The lines `id text` of a list; blank lines are passed over.

    Raises:
        DataError: the file cannot be read, a line has no second part, an id is there twice; names the lines.
    """
    texts: dict[str, str] = {}
    lines: dict[str, int] = {}
    problems: list[str] = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        key, _, text = line.strip().partition(" ")
        if not key:
            continue
        if not text:
            problems.append(f"line {number}: {line!r} is not two words")
        elif key in texts:
            problems.append(f"line {number}: {key} is there already, on line {lines[key]}")
        else:
            texts[key], lines[key] = text.strip(), number
    if problems or not texts:
        raise DataError(
            f"{path}: not a list of `id text`, one a line:\n{first_few(problems or ['it is empty'])}\n"
            "Mend these lines, or unpack the official archive again."
        )
    return Pairs(path, texts, lines)


def read_photos(folder: Path) -> Photos:
    """Read the four lists of a folder. images.txt says which images there are; the others may tell more.

    Raises:
        DataError: a list cannot be read, an image lacks a label or a split, a class id is unknown, a split is
            neither 0 nor 1; names the lines.
    """
    images, labels, splits, names = (read_pairs(folder / name) for name in FILES)
    problems: list[str] = []
    for key in images.texts:
        label, split = labels.texts.get(key), splits.texts.get(key)
        if label is None or split is None:
            lacking = labels.path.name if label is None else splits.path.name
            problems.append(f"{images.where(key)}: image {key} is not in {lacking}")
        elif label not in names.texts:
            problems.append(f"{labels.where(key)}: no class {label!r} in {names.path.name}")
        elif split not in _SPLITS:
            problems.append(f"{splits.where(key)}: {split!r} is neither 1 (train) nor 0 (test)")
    if problems:
        raise DataError(
            f"{folder}: lists that do not fit together:\n{first_few(problems)}\n"
            "Mend these lines, or unpack the official archive again."
        )
    classes = [labels.texts[key] for key in images.texts]
    there = set(classes)
    return Photos(
        folder,
        list(images.texts.values()),
        [images.lines[key] for key in images.texts],
        classes,
        np.array([_SPLITS[splits.texts[key]] for key in images.texts], dtype=np.int8),
        {key: name for key, name in names.texts.items() if key in there},
    )


def listed_manifest(
    source: str, photos: Photos, taxonomy: Taxonomy, fine: Mapping[str, int], attributes: Attributes | None = None
) -> Manifest:
    """The manifest of listed images, paths relative to the lists' folder `images`, splits "train" and "test".

    Args:
        source: what messages call the set.
        photos: what the lists say.
        taxonomy: the classes; every image is labelled at the finest level.
        fine: class id to the number of its class at the finest level.
        attributes: class descriptions, where there are any.

    Raises:
        ManifestError: an image is listed twice; names the lines.
    """
    numbers = np.array([fine[key] for key in photos.classes], dtype=np.int64)
    images = pa.chunked_array([pa.array(photos.paths, pa.string())])
    manifest = Manifest(
        source=source,
        root=photos.folder / "images",
        images=images,
        taxonomy=taxonomy,
        targets=np.stack([taxonomy.ancestor(-1, level)[numbers] for level in range(len(taxonomy.levels))], axis=1),
        split_names=("train", "test"),
        split_codes=photos.codes,
        attributes=attributes,
        places=Places("images.txt line", np.asarray(photos.lines, dtype=np.int64)),
    )
    check_image_names(images, source, manifest.where)
    return manifest
