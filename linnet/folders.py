"""Nested image folders, `root/[split/]coarse/fine/image.jpg` to any depth, as rows of labels."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from linnet.errors import ManifestError
from linnet.hierarchy import default_levels, first_few

__all__ = ["IMAGE_SUFFIXES", "FolderScan", "scan_folder"]

IMAGE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".jfif"))
"""Files with other suffixes are passed over, and so is everything whose name begins with a dot."""

_ENDINGS = tuple(IMAGE_SUFFIXES)
_SPLITS = frozenset(("train", "val", "valid", "validation", "test"))


@dataclass(frozen=True)
class FolderScan:
    """The images below a folder, sorted by path: relative path, split ('' when none), labels (L,)."""

    images: list[str]
    splits: list[str]
    labels: list[tuple[str, ...]]
    levels: tuple[str, ...]


def scan_folder(root: Path | str, levels: Sequence[str] | None = None) -> FolderScan:
    """Find the images of nested class folders.

    The topmost folders are splits when all of them are called train, val, valid, validation or test (in any
    case). An image in a folder above the deepest level is labelled as far as its folders go. Level names are
    `default_levels(depth)` unless given.

    Raises:
        ManifestError: no such folder, no images, no class folders, or another depth than `levels` names.
    """
    root = Path(root)
    if not root.is_dir():
        raise ManifestError(f"{root}: no such folder")
    found = sorted(_walk(str(root), (), frozenset()))
    if not found:
        raise ManifestError(f"{root}: no images in it or below; image files end in {', '.join(sorted(IMAGE_SUFFIXES))}")
    tops = {parts[0] for parts in found if len(parts) > 1}
    split = 1 if tops and all(top.lower() in _SPLITS for top in tops) else 0
    stray = ["/".join(parts) for parts in found if len(parts) == 1]
    if split and stray:
        raise ManifestError(
            f"{root}: images beside the split folders:\n{first_few(stray)}\nMove them into {' or '.join(sorted(tops))}."
        )
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


def _walk(folder: str, parts: tuple[str, ...], above: frozenset[tuple[int, int]]) -> Iterator[tuple[str, ...]]:
    """Paths of images as parts; links are followed, but not round in a circle."""
    status = Path(folder).stat()
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from _walk(entry.path, (*parts, entry.name), above | {here})
            elif entry.name.lower().endswith(_ENDINGS):
                _check_text(entry.path)
                yield (*parts, entry.name)


def _check_text(path: str) -> None:
    try:
        path.encode()
    except UnicodeEncodeError:
        raise ManifestError(f"{os.fsencode(path)!r}: the file's name is not UTF-8; rename it") from None
