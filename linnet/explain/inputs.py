"""The images that a user names, or a draw from a run's own split, as the squares that a net sees."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from linnet.errors import ImageError, RecipeError
from linnet.folders import readable_suffixes
from linnet.images import Preprocessing
from linnet.images.broken import summary
from linnet.images.cut import evaluation_pixels
from linnet.images.decode import BrokenImageError
from linnet.images.resize import centre_crop
from linnet.manifest_read import normal_split
from linnet.randomness import permutation
from linnet.training.run import Run

__all__ = ["Inputs", "draw", "find_images", "squares"]

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Inputs:
    """Images to look at.

    Attributes:
        images: files, or pixels (H, W, 3) of a set that is kept in arrays.
        names: what to call each.
        truths: for each image, its known classes by level number.
    """

    images: list[Path | Pixels]
    names: list[str]
    truths: list[dict[int, str]]


def find_images(given: Sequence[str], count: int) -> Inputs:
    """Files, the image files anywhere under folders, and what globs match; each once, in order.

    Of more than `count` that many are drawn, always the same ones.

    Raises:
        ImageError: something that is not there, or holds no image; names everything of the kind.
    """
    found: dict[Path, None] = {}
    problems = []
    for text in given:
        there, lacking = _files(Path(text))
        found.update(dict.fromkeys(there))
        problems += [] if there else [f"{text}: {lacking}"]
    if problems:
        raise ImageError("\n  ".join([f"{len(problems)} of {len(given)} arguments name no image:", *problems]))
    paths = list(found)
    kept = [paths[place] for place in _drawn(len(paths), count)]
    return Inputs(list(kept), [path.name for path in kept], [{} for _ in kept])


def _files(path: Path) -> tuple[list[Path], str]:
    """The image files that an argument stands for, and what is wrong where there are none."""
    if path.is_dir():
        there = sorted(each for each in path.rglob("*") if each.suffix.lower() in readable_suffixes())
        return there, "no image in this folder"
    if path.exists() or not set("*?[") & set(str(path)):
        return [path] if path.exists() else [], "no such file or folder"
    matching = Path(path.anchor).glob(str(path.relative_to(path.anchor)))
    return sorted(each for each in matching if each.is_file()), "matches no file"


def draw(run: Run, split: str | None, count: int) -> Inputs:
    """Images of a split of a run's data (test, else validation, when None), drawn by the run's seed.

    Raises:
        RecipeError: no such split.
    """
    data = run.load()
    split = normal_split(split) if split else ("test" if len(data.rows.get("test", ())) else "validation")
    rows = data.rows.get(split)
    if rows is None or not len(rows):
        raise RecipeError(f"split {split!r} has no images; splits there: {', '.join(data.rows)}")
    chosen = rows[_drawn(len(rows), count)].tolist()
    manifest, taxonomy = data.manifest, data.manifest.taxonomy
    pixels = manifest.pixels
    images = [manifest.path(row) if pixels is None else pixels[row] for row in chosen]
    names = [f"{split} image {row}" if pixels is not None else manifest.path(row).name for row in chosen]
    truths = [
        {level: taxonomy.classes[level][number] for level, number in enumerate(manifest.targets[row]) if number >= 0}
        for row in chosen
    ]
    return Inputs(images, names, truths)


def _drawn(there: int, count: int) -> list[int]:
    """Up to `count` places out of `there`, ascending."""
    return sorted(permutation(there, 0, "explain")[:count].tolist())


def squares(images: Sequence[Path | Pixels], preprocessing: Preprocessing, least: int = 0) -> Pixels:
    """What a net sees of images, uint8 (n, S, S, 3), S its input's side.

    With `least`, the same part of each image at the smallest multiple of S from `least` on, for people to look at:
    cut from files anew, and enlarged pixel by pixel where there is no file.

    Raises:
        ImageError: files that cannot be decoded; names every one.
    """
    times = max(1, math.ceil(least / preprocessing.size))
    resize = preprocessing.resize and preprocessing.resize * times
    larger = replace(preprocessing, size=preprocessing.size * times, resize=resize)
    found = np.empty((len(images), larger.size, larger.size, 3), np.uint8)
    broken = []
    for place, image in enumerate(images):
        if isinstance(image, Path):
            try:
                found[place] = evaluation_pixels(image, larger)
            except BrokenImageError as error:
                broken.append(f"{image}: {error}")
        else:
            found[place] = centre_crop(image, preprocessing).repeat(times, 0).repeat(times, 1)
    if broken:
        raise ImageError(f"{summary('photos', broken, len(images))}\nMend or replace these files, or leave them out.")
    return found
