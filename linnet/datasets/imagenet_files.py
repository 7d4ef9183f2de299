"""ImageNet's images and their synsets, from folders of synsets or from a flat folder and a list."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from linnet.datasets.lists import read_pairs, read_text
from linnet.errors import DataError
from linnet.hierarchy import first_few

__all__ = ["Listed", "listed_split", "split_folders"]

_SYNSET = re.compile(r"n\d{8}")
_ENDINGS = (".jpeg", ".jpg", ".png")
_LONG = {"val": "validation", "test": "test"}


@dataclass(frozen=True)
class Listed:
    """Image paths relative to the data set's folder, sorted, and the synset of each, (n,)."""

    paths: Sequence[str]
    synsets: Sequence[str]


def split_folders(folder: Path) -> dict[str, str]:
    """Split name to folder name, for `val` and `test` where they are there; the last of them is the test split."""
    there = [name for name in ("val", "test") if (folder / name).is_dir()]
    if "test" in there and not (_synset_folders(folder / "test") or _lists(folder, "test")):
        there.remove("test")  # the challenges' test images came without labels
    return {"test" if name == there[-1] else "validation": name for name in there}


def listed_split(folder: Path, name: str, how: str) -> Listed:
    """The images of `folder/name` with their synsets.

    Raises:
        DataError: there is no such folder (says `how` to get it), it has neither folders of synsets nor a list, a
            list does not fit the files; names the lines.
    """
    place = folder / name
    if not place.is_dir():
        raise DataError(f"ImageNet: {place} is not there. {how}")
    synsets = _synset_folders(place)
    if synsets:
        found = [(f"{name}/{synset}/{file}", synset) for synset in synsets for file in _images(place / synset)]
    else:
        files = _images(place)
        told = _labels(folder, name, files)
        found = [(f"{name}/{file}", told[file]) for file in files]
    if not found:
        raise DataError(f"ImageNet: {place} holds no images (looked for {', '.join(_ENDINGS)}). {how}")
    return Listed([path for path, _ in found], [synset for _, synset in found])


def _synset_folders(place: Path) -> list[str]:
    with os.scandir(place) as entries:
        return sorted(entry.name for entry in entries if _SYNSET.fullmatch(entry.name) and entry.is_dir())


def _images(place: Path) -> list[str]:
    with os.scandir(place) as entries:
        return sorted(entry.name for entry in entries if entry.name.lower().endswith(_ENDINGS))


def _lists(folder: Path, name: str) -> list[Path]:
    """The lists that may tell a split's labels, those that are there."""
    found = [folder / f"{name}.txt"]
    for place in (folder, folder / "data", folder / "devkit" / "data"):
        found += sorted(place.glob(f"ILSVRC20??_{_LONG.get(name, name)}_ground_truth.txt"))
    return [path for path in found if path.is_file()]


def _labels(folder: Path, name: str, files: Sequence[str]) -> dict[str, str]:
    """The synset of every file."""
    lists = _lists(folder, name)
    if not lists:
        raise DataError(
            f"ImageNet: {folder / name} has no folders of synsets, and no list tells its labels: neither "
            f"{folder / name}.txt (`file synset`, one a line) nor ILSVRC20xx_{_LONG.get(name, name)}_ground_truth.txt"
        )
    if lists[0].name == f"{name}.txt":
        told = {file.removeprefix(f"{name}/"): label for file, label in read_pairs(lists[0]).texts.items()}
        missing = [file for file in files if file not in told]
        wrong = [f"{file}: {told[file]!r}" for file in files if file in told and not _SYNSET.fullmatch(told[file])]
        if missing or wrong:
            listed = first_few([f"{file}: not in the list" for file in missing] + wrong)
            raise DataError(f"{lists[0]}: does not tell the synset of every image in {folder / name}:\n{listed}")
        return told
    return _ground_truth(lists[0], files)


def _ground_truth(path: Path, files: Sequence[str]) -> dict[str, str]:
    """Labels by the development kit: line i is the challenge's number of the class of file i, sorted by name."""
    numbers = read_text(path).split()
    if len(numbers) != len(files):
        raise DataError(f"{path}: {len(numbers)} labels for {len(files)} images; all images must be there")
    synsets = _meta(path.parent / "meta.mat")
    wrong = [f"line {line}: {number!r}" for line, number in enumerate(numbers, start=1) if number not in synsets]
    if wrong:
        raise DataError(f"{path}: numbers that meta.mat does not have:\n{first_few(wrong)}")
    return {file: synsets[number] for file, number in zip(files, numbers, strict=True)}


def _meta(path: Path) -> dict[str, str]:
    """The challenge's number to synset, from the development kit's meta.mat."""
    from scipy.io import loadmat

    try:
        rows = loadmat(path, variable_names=["synsets"])["synsets"].ravel()
        number = next(name for name in rows.dtype.names if name.endswith("_ID"))
        return {str(row[number].item()): str(row["WNID"].item()) for row in rows}
    except Exception as error:  # whatever a damaged file makes of scipy's reader
        reason = str(error) or type(error).__name__
    raise DataError(f"{path}: not the development kit's list of synsets ({reason}); unpack the kit again")
