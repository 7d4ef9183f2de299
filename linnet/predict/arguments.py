"""The images that arguments name: files, everything under folders, what patterns match; one by one, never a list."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from linnet.errors import ImageError
from linnet.folders import UNREADABLE_SUFFIXES, readable_suffixes
from linnet.hierarchy import first_few

__all__ = ["check_arguments", "named_images"]


def check_arguments(given: Sequence[str]) -> None:
    """Refuse what names no image at all: a folder without images, a pattern that matches nothing.

    A file that is not there is not refused here: it gets a row that says so.

    Raises:
        ImageError: names everything of the kind.
    """
    problems = []
    for text in given:
        if next(iter(_images(text)), None) is None:
            folder = Path(text).is_dir()
            problems.append(f"{text}: {'no image in this folder or below' if folder else 'matches no file'}")
    if problems:
        raise ImageError(f"{len(problems)} of {len(given)} arguments name no image:\n{first_few(problems)}")


def named_images(given: Sequence[str]) -> Iterator[Path]:
    """The images in the order of the arguments, sorted by path within a folder or pattern.

    Photos of a kind that Linnet does not read (HEIC, raw) are among them, so that they show as broken; other files in
    a folder, and what begins with a dot, are not. An image that two arguments name comes twice.
    """
    for text in given:
        yield from _images(text)


def _images(text: str) -> Iterator[Path]:
    path = Path(text)
    if path.is_dir():
        yield from _walk(path, frozenset())
    elif path.exists() or not set("*?[") & set(text):
        yield path
    else:
        # Sorted, as the order of a folder's files is chance; of a million names that is 100 MB for a moment.
        found = Path(path.anchor).glob(str(path.relative_to(path.anchor)))
        yield from (each for each in sorted(found) if each.is_file())


def _walk(folder: Path, above: frozenset[tuple[int, int]]) -> Iterator[Path]:
    """Image files under a folder, depth first and by name; links are followed, but not round in a circle."""
    status = folder.stat()
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    with os.scandir(folder) as entries:
        there = sorted((entry.name, entry.is_dir()) for entry in entries if not entry.name.startswith("."))
    wanted = readable_suffixes() | UNREADABLE_SUFFIXES
    for name, is_folder in there:
        if is_folder:
            yield from _walk(folder / name, above | {here})
        elif os.path.splitext(name)[1].lower() in wanted:  # noqa: PTH122 (a million files)
            yield folder / name
