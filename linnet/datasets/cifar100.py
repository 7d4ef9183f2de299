"""CIFAR-100 (Krizhevsky 2009): 100 fine classes, five under each of 20 coarse ones, from the official files.

Paper 001 section 4.2 uses the standard split: 500 training and 100 test images of each fine class.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linnet.datasets import fetch
from linnet.datasets.assemble import assemble
from linnet.errors import DataError
from linnet.manifest import Manifest
from linnet.taxonomy import Taxonomy

__all__ = ["ARCHIVE", "ARCHIVE_MD5", "FOLDER", "MD5", "URL", "load"]

URL = "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz"
ARCHIVE = "cifar-100-python.tar.gz"
ARCHIVE_MD5 = "eb9058c3a382ffc7106e4002c42a8d85"
FOLDER = "cifar-100-python"
MD5 = {
    "train": "16019d7e3df5f24257cddd939b257f8d",
    "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
    "meta": "7973b15100ade9c7d40fb424638fde48",
}

_NUMPY_NAMES: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    # The function that makes an empty array; its module was renamed in numpy 2, so it is asked of an array.
    ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("numpy._core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
}


def load(root: Path | str | None = None, *, download: bool = False) -> Manifest:
    """Read CIFAR-100 as a manifest with levels ("coarse", "fine") and splits "train" and "test".

    Args:
        root: the folder `cifar-100-python`, or the one that holds it; default as `fetch.data_root` says.
        download: fetch the archive (169 MB) into `root` when the files are absent.

    Returns:
        60,000 rows, train before test, pixels uint8 (60000, 32, 32, 3); class order is the official one.

    Raises:
        DataError: files are absent (says which, where they were looked for, and how to get them) or not the
            official ones.
    """
    folder = _find(fetch.data_root(root), download)
    for name, md5 in MD5.items():
        fetch.check_md5(folder / name, md5, f"CIFAR-100 file {name!r}")
    meta = _read(folder / "meta")
    parts = {split: _read(folder / split) for split in ("train", "test")}
    targets = np.concatenate(
        [np.stack([part[b"coarse_labels"], part[b"fine_labels"]], axis=1) for part in parts.values()]
    ).astype(np.int64)
    return assemble(
        source="cifar100",
        root=folder,
        images=[name for split, part in parts.items() for name in _image_names(split, part[b"filenames"])],
        taxonomy=_taxonomy(meta, targets),
        targets=targets,
        splits={split: len(part[b"fine_labels"]) for split, part in parts.items()},
        pixels=np.concatenate([_pixels(part[b"data"]) for part in parts.values()]),
    )


def _find(root: Path, download: bool) -> Path:
    """The folder with the three files, fetched first where that was asked for."""
    for folder in (root, root / FOLDER):
        if all((folder / name).is_file() for name in MD5):
            return folder
    here = root.name == FOLDER or any((root / name).is_file() for name in MD5)
    folder = root if here else root / FOLDER
    if not download:
        raise DataError(_absent(root, folder))
    archive = folder.parent / ARCHIVE
    if not archive.is_file():
        fetch.download(URL, archive, ARCHIVE_MD5, "CIFAR-100 archive")
    fetch.check_md5(archive, ARCHIVE_MD5, "CIFAR-100 archive")
    fetch.unpack_members(archive, {f"{FOLDER}/{name}": folder / name for name in MD5})
    return folder


def _absent(root: Path, folder: Path) -> str:
    missing = [name for name in MD5 if not (folder / name).is_file()]
    names = ", ".join(repr(name) for name in missing)
    return (
        f"CIFAR-100: the files {names} are not in {folder} (looked in {root} and {root / FOLDER}). "
        f"Fetch {URL} (169 MB) and unpack it with 'tar xzf {ARCHIVE} -C {folder.parent}', "
        "or point --root or the environment variable LINNET_DATA at the folder that holds "
        f"{FOLDER}/, or let Linnet fetch it: linnet.datasets.cifar100.load(download=True)"
    )


class _NumbersOnly(pickle.Unpickler):
    """Reads lists, numbers, text and numpy arrays; refuses any other name, and imports nothing."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _NUMPY_NAMES[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no CIFAR-100 file needs") from None


def _read(path: Path) -> dict[bytes, Any]:
    """One official file as a dictionary with bytes keys."""
    try:
        with path.open("rb") as stream:
            content = _NumbersOnly(stream, encoding="bytes").load()
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, IndexError) as error:
        raise DataError(f"{path}: refused as a CIFAR-100 file: {error}; delete it and fetch it from {URL}") from None
    if not isinstance(content, dict):
        raise DataError(f"{path}: refused as a CIFAR-100 file: it holds a {type(content).__name__}, not a dictionary")
    return content


def _taxonomy(meta: Mapping[bytes, Sequence[bytes]], targets: NDArray[np.int64]) -> Taxonomy:
    """Names from the meta file; who is under whom from the labels, which say so for every image."""
    coarse = tuple(name.decode() for name in meta[b"coarse_label_names"])
    fine = tuple(name.decode() for name in meta[b"fine_label_names"])
    pairs = np.unique(targets[:, ::-1], axis=0)
    if not np.array_equal(pairs[:, 0], np.arange(len(fine))):
        raise DataError(
            "cifar100: some fine class has no image, or images in two coarse classes; the files do not match"
        )
    return Taxonomy(("coarse", "fine"), (coarse, fine), ((), tuple(int(parent) for parent in pairs[:, 1])))


def _image_names(split: str, names: Sequence[bytes]) -> list[str]:
    """Unique names in the order of the file; the official file names alone are not unique."""
    return [f"{split}/{number:05d}_{name.decode()}" for number, name in enumerate(names)]


def _pixels(data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Rows of 3,072 values, channel by channel, to (n, 32, 32, 3)."""
    return np.ascontiguousarray(data.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
