"""Stanford Cars (Krause et al. 2013): 196 models, 8,144 training and 8,041 test images, from the official annotations.

A class is make, model, body and year: "Audi S4 Sedan 2012". The coarse class is the make, which the name begins with;
three makes are two words long.

Two releases are read: the older one (`cars_annos.mat` beside `car_ims/`), and the one that was given out later and that
other libraries read (`devkit/`, `cars_train/`, `cars_test/` and `cars_test_annos_withlabels.mat`). Their splits are the
same, their file names are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from linnet.datasets import fetch
from linnet.datasets.lists import find_folder
from linnet.datasets.photo_list import photo_manifest
from linnet.errors import DataError
from linnet.hierarchy import first_few
from linnet.manifest import Manifest

__all__ = ["FOLDER", "LEVELS", "URL", "load", "make"]

URL = "https://ai.stanford.edu/~jkrause/cars/car_dataset.html"
FOLDER = "stanford_cars"
LEVELS = ("make", "model")

_WHOLE = "cars_annos.mat"
_NAMES, _TRAIN, _TEST = "cars_meta.mat", "cars_train_annos.mat", "cars_test_annos_withlabels.mat"
_TWO_WORDS = ("AM General", "Aston Martin", "Land Rover")
_HOW = (
    f"The annotations are described at {URL}: {_WHOLE} beside car_ims/, or devkit/ with {_NAMES} and {_TRAIN}, and "
    f"{_TEST}, beside cars_train/ and cars_test/. Put them into one folder"
)


def load(root: Path | str | None = None) -> Manifest:
    """Read Stanford Cars as a manifest with levels ("make", "model") and splits "train" and "test".

    Class names are the official ones, sorted by name at each level.

    Args:
        root: the folder with the annotations, or the one that holds it as `stanford_cars`; default as
            `fetch.data_root` says.

    Raises:
        DataError: files are absent (says which, where they were looked for, and where they come from), are no such
            annotations, or name a class that is not there; names the rows.
        ManifestError: an image is listed twice.
    """
    base = fetch.data_root(root)
    folder = next((each for each in (base, base / FOLDER) if (each / _WHOLE).is_file()), None)
    rows, names = _later(base) if folder is None else _whole(folder)
    wrong = [f"{where}: class {number}" for _, number, _, where in rows if not 1 <= number <= len(names)]
    if wrong:
        raise DataError(f"Stanford Cars: only {len(names)} classes are named, not these:\n{first_few(wrong)}\n{_HOW}")
    rows = sorted(rows, key=lambda row: row[2])  # the training images first, each split in its own order
    labels = [(make(names[number - 1]), names[number - 1]) for _, number, _, _ in rows]
    tests = sum(test for _, _, test, _ in rows)
    splits = {"train": len(rows) - tests, "test": tests}
    root = folder or _folder(base)
    return photo_manifest("cars", root, [row[0] for row in rows], LEVELS, labels, splits, lambda row: rows[row][3])


def make(name: str) -> str:
    """The make of a car: "Land Rover Range Rover SUV 2012" is a Land Rover, "Audi S4 Sedan 2012" an Audi."""
    return next((two for two in _TWO_WORDS if name.startswith(f"{two} ")), name.partition(" ")[0])


Row = tuple[str, int, bool, str]
"""Image path, class number from 1, whether it is a test image, and where that stands."""


def _whole(folder: Path) -> tuple[list[Row], list[str]]:
    """The older release: one file for everything."""
    path = folder / _WHOLE
    found = _records(path, "annotations", ("relative_im_path", "class", "test"))
    rows = [
        (str(image), int(number), bool(test), f"{path.name}, row {row}")
        for row, (image, number, test) in enumerate(found, 1)
    ]
    return rows, _class_names(path)


def _later(base: Path) -> tuple[list[Row], list[str]]:
    """The later release: a file for each split, and one for the names."""
    folder = _folder(base)
    rows: list[Row] = []
    for name, images in ((_TRAIN, "cars_train"), (_TEST, "cars_test")):
        found = _records(_place(folder, name), "annotations", ("fname", "class"))
        rows += [
            (f"{images}/{image}", int(number), name == _TEST, f"{name}, row {row}")
            for row, (image, number) in enumerate(found, 1)
        ]
    return rows, _class_names(_place(folder, _NAMES))


def _folder(base: Path) -> Path:
    for folder in (base, base / FOLDER):
        if all(_place(folder, name).is_file() for name in (_NAMES, _TRAIN, _TEST)):
            return folder
    return find_folder(base, FOLDER, (f"devkit/{_NAMES}", f"devkit/{_TRAIN}", _TEST), "Stanford Cars", _HOW)


def _place(folder: Path, name: str) -> Path:
    """A file of the later release: some copies have all in `devkit`, some none."""
    return folder / "devkit" / name if (folder / "devkit" / name).is_file() else folder / name


def _class_names(path: Path) -> list[str]:
    return [str(name) for name in np.atleast_1d(_variable(path, "class_names"))]


def _records(path: Path, variable: str, fields: Sequence[str]) -> list[tuple[Any, ...]]:
    """Some fields of each record of a MATLAB structure array."""
    found = np.atleast_1d(_variable(path, variable))
    lacking = [field for field in fields if field not in (found.dtype.names or ())]
    if lacking:
        raise DataError(f"{path}: not the official annotations: records without {', '.join(lacking)}. {_HOW}")
    return [tuple(record[field] for field in fields) for record in found]


def _variable(path: Path, name: str) -> Any:
    from scipy.io import loadmat

    try:
        return loadmat(path, squeeze_me=True, variable_names=[name])[name]
    except KeyError:
        reason = f"it holds no {name}"
    except Exception as error:  # whatever a damaged file makes of scipy's reader
        reason = str(error) or type(error).__name__
    raise DataError(f"{path}: not the official annotations ({reason}). {_HOW}")
