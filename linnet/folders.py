"""Nested image folders, `root/[split/]coarse/fine/image.jpg` to any depth, as rows of labels."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from linnet.errors import ManifestError
from linnet.hierarchy import default_levels, first_few

__all__ = ["IMAGE_SUFFIXES", "UNREADABLE_SUFFIXES", "FolderScan", "readable_suffixes", "scan_folder"]

IMAGE_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".webp", ".gif", ".tif", ".tiff")
) | frozenset((".ppm", ".pgm", ".pbm", ".pnm", ".tga"))
"""Files that any Pillow reads; see `readable_suffixes` for those of the installed one."""

UNREADABLE_SUFFIXES = frozenset(
    (".heic", ".heif", ".hif", ".jxl", ".dng", ".raw", ".nef", ".nrw", ".cr2", ".cr3", ".crw", ".arw", ".srf", ".sr2")
) | frozenset((".rw2", ".orf", ".raf", ".pef", ".srw", ".x3f", ".3fr", ".erf", ".kdc", ".mrw"))
"""Photos that Pillow does not read: a folder that holds one is refused, as its row would be missing unnoticed."""

_BY_FEATURE = {
    "avif": (".avif", ".avifs"),
    "jpg_2000": (".jp2", ".j2k", ".jpc", ".jpf", ".jpx", ".j2c"),
}
"""Photos that Pillow reads when it was built with a library for them."""

_SPLITS = frozenset(("train", "val", "valid", "validation", "test"))
_logger = logging.getLogger("linnet")


@dataclass(frozen=True)
class FolderScan:
    """The images below a folder, sorted by path: relative path, split ('' when none), labels (L,)."""

    images: list[str]
    splits: list[str]
    labels: list[tuple[str, ...]]
    levels: tuple[str, ...]


@cache
def readable_suffixes() -> frozenset[str]:
    """Suffixes, in small letters, of the image files that the installed Pillow reads."""
    from PIL import features

    built = set(features.get_supported())
    return IMAGE_SUFFIXES.union(*(suffixes for name, suffixes in _BY_FEATURE.items() if name in built))


def scan_folder(root: Path | str, levels: Sequence[str] | None = None) -> FolderScan:
    """Find the images of nested class folders.

    The topmost folders are splits when all of them are called train, val, valid, validation or test (in any
    case). An image in a folder above the deepest level is labelled as far as its folders go. Level names are
    `default_levels(depth)` unless given. Files that are no images are counted in one logged warning; what begins
    with a dot is not looked at.

    Raises:
        ManifestError: no such folder, no images, no class folders, another depth than `levels` names, photos that
            Pillow does not read, folders without an image, or a folder `train` beside what is no split.
    """
    root = Path(root)
    if not root.is_dir():
        raise ManifestError(f"{root}: no such folder")
    met = _Met()
    found = sorted(_walk(str(root), (), frozenset(), met))
    _check_met(root, met, bool(found))
    split = _split_depth(root, found)
    depth = max(len(parts) for parts in found) - 1 - split
    if depth == 0:
        raise ManifestError(f"{root}: no class folders; expected {root.name}/class/image.jpg or deeper")
    names = tuple(levels) if levels is not None else default_levels(depth)
    if len(names) != depth:
        deepest = "/".join(next(parts for parts in found if len(parts) == depth + 1 + split))
        raise ManifestError(
            f"{root}: {depth} levels of folders (as in {deepest}), but {len(names)} named: {', '.join(names)}"
        )
    pads = [("",) * count for count in range(depth + 1)]
    return FolderScan(
        images=["/".join(parts) for parts in found],
        splits=[parts[0] if split else "" for parts in found],
        labels=[parts[split:-1] + pads[depth + 1 + split - len(parts)] for parts in found],
        levels=names,
    )


@dataclass
class _Met:
    """What a walk met besides images: photos that cannot be read, folders without any, other files by suffix."""

    unreadable: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)


def _walk(
    folder: str, parts: tuple[str, ...], above: frozenset[tuple[int, int]], met: _Met
) -> Iterator[tuple[str, ...]]:
    """Paths of images as parts; links are followed, but not round in a circle."""
    status = Path(folder).stat()
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    bare = True
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                bare = False  # the folders in it speak for themselves
                yield from _walk(entry.path, (*parts, entry.name), above | {here}, met)
                continue
            suffix = os.path.splitext(entry.name)[1].lower()  # noqa: PTH122 (a million files)
            if suffix in readable_suffixes():
                bare = False
                _check_text(entry.path)
                yield (*parts, entry.name)
            elif suffix in UNREADABLE_SUFFIXES or any(suffix in each for each in _BY_FEATURE.values()):
                bare = False
                met.unreadable.append("/".join((*parts, entry.name)))
            else:
                met.others[suffix or "without a suffix"] += 1
    if bare and parts:
        met.empty.append("/".join(parts))


def _check_met(root: Path, met: _Met, some: bool) -> None:
    """Refuse what would be left out unnoticed, and tell what is passed over.

    Raises:
        ManifestError: see `scan_folder`.
    """
    kinds = ", ".join(sorted(readable_suffixes()))
    if met.unreadable:
        raise ManifestError(
            f"{root}: {len(met.unreadable)} photos of a kind that cannot be read:\n"
            f"{first_few(sorted(met.unreadable))}\n"
            f"Convert them (to .jpg, for example), or move them out of the folder; readable are {kinds}."
        )
    passed = ", ".join(f"{count} {suffix}" for suffix, count in sorted(met.others.items()))
    if not some:
        besides = f" (there are other files: {passed})" if passed else ""
        raise ManifestError(f"{root}: no images in it or below{besides}; image files end in {kinds}")
    if met.empty:
        raise ManifestError(
            f"{root}: {len(met.empty)} folders without an image, though each folder is a class:\n"
            f"{first_few(sorted(met.empty))}\n"
            "Put their images in, or move these folders out."
        )
    if passed:
        _logger.warning("%s: passed over: %s", root, passed)


def _split_depth(root: Path, found: Sequence[tuple[str, ...]]) -> int:
    """1 when the topmost folders are splits, else 0.

    Raises:
        ManifestError: images beside split folders, or `train`, which holds class folders, beside a folder that is no
            split.
    """
    tops = sorted({parts[0] for parts in found if len(parts) > 1})
    odd = [top for top in tops if top.lower() not in _SPLITS]
    # A folder of images alone, such as train/1.jpg, is the class of that name: vehicles have one.
    train = next((parts[0] for parts in found if len(parts) > 2 and parts[0].lower() == "train"), None)
    if odd and train is not None:
        verb = "is" if len(odd) == 1 else "are"
        raise ManifestError(
            f"{root}: {train} is a split, {', '.join(odd[:5])} {verb} not; move {odd[0]} below a split or rename it "
            f"(splits are called {', '.join(sorted(_SPLITS))}). If {train} is a class here, rename that."
        )
    if odd or not tops:
        return 0
    stray = ["/".join(parts) for parts in found if len(parts) == 1]
    if stray:
        raise ManifestError(
            f"{root}: images beside the split folders:\n{first_few(stray)}\nMove them into {' or '.join(tops)}."
        )
    return 1


def _check_text(path: str) -> None:
    try:
        path.encode()
    except UnicodeEncodeError:
        raise ManifestError(f"{os.fsencode(path)!r}: the file's name is not UTF-8; rename it") from None
