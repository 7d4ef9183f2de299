"""ImageNet and its challenges (ILSVRC-2010, -2012): folders of synsets, with classes from WordNet's hierarchy.

Layout: `train/n01440764/*.JPEG`; `val` and, where its labels are there, `test` in folders of synsets too, or flat with
a list: val.txt with a line `file synset` an image, or the development kit's ILSVRC20xx_validation_ground_truth.txt and
meta.mat (in the folder, in `data` or in `devkit/data`). Beside them wordnet.is_a.txt and words.txt from ImageNet's
site. A class is called by its synset and first word, such as "n02106662 German shepherd".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa

from linnet.datasets import fetch, wordnet
from linnet.datasets.imagenet_files import Listed, listed_split, split_folders
from linnet.datasets.lists import find_folder
from linnet.errors import DataError
from linnet.hierarchy import first_few
from linnet.manifest import Manifest
from linnet.taxonomy import Taxonomy

__all__ = ["FOLDER", "HIERARCHY", "URL", "load"]

URL = "https://image-net.org/download-images"
FOLDER = "imagenet"
HIERARCHY = ("wordnet.is_a.txt", "words.txt")

_HOW = (
    f"Fetch the images from {URL} (an account is needed) and unpack every class's archive into a folder of its own, "
    "train/n01440764 and so on; fetch wordnet.is_a.txt and words.txt from https://image-net.org/data/"
)


def load(
    root: Path | str | None = None,
    *,
    classes: Literal["all", "parents"] = "all",
    depths: Sequence[int] | None = None,
) -> Manifest:
    """Read ImageNet folders as a manifest.

    Splits are "train", and "validation" and "test" from `val` and `test`; where there is no labelled `test`, the
    images of `val` are the test split, as everyone reports on them.

    Args:
        root: the folder with `train`, or the one that holds it as `imagenet`; default as `fetch.data_root` says.
        classes: "all" keeps every synset that has training images. "parents" keeps paper 002's subset: fine classes
            are leaves whose parent has no other kind of child, see `wordnet.parents_of_leaves`.
        depths: for "all": levels at these depths below WordNet's root, ascending, the levels "depth5" and so on above
            "fine"; a synset that ends above a depth stands there itself. None makes one level "coarse" of the parents.
            Where WordNet has several parents the one nearest to the root counts, see `wordnet.one_path`.

    Raises:
        DataError: files are absent (says which, where they were looked for, and where they come from), cannot
            be read or do not fit together; no class is left.
    """
    folder = find_folder(fetch.data_root(root), FOLDER, HIERARCHY, "ImageNet", _HOW)
    parts = {"train": listed_split(folder, "train", _HOW)}
    parts |= {split: listed_split(folder, name, _HOW) for split, name in split_folders(folder).items()}
    parents, words = wordnet.read_is_a(folder / HIERARCHY[0]), wordnet.read_words(folder / HIERARCHY[1])
    synsets = sorted(set(parts["train"].synsets))
    unknown = [synset for synset in synsets if synset not in parents]
    if unknown:
        raise DataError(f"{folder}: synsets with images that {HIERARCHY[0]} does not have:\n{first_few(unknown)}")
    if classes == "parents":
        taxonomy, numbers = _subset(synsets, parents, words)
    else:
        taxonomy, numbers = _all(synsets, parents, words, depths)
    if not numbers:
        raise DataError(f"{folder}: of {len(synsets)} classes none is left; paper 002's rule needs siblings")
    return _manifest(folder, parts, taxonomy, numbers)


def _named(synset: str, words: Mapping[str, str]) -> str:
    return f"{synset} {words[synset]}" if synset in words else synset


def _subset(
    synsets: Sequence[str], parents: wordnet.Parents, words: Mapping[str, str]
) -> tuple[Taxonomy, dict[str, int]]:
    """Paper 002's two levels, and the number of each fine synset."""
    above = wordnet.parents_of_leaves(synsets, parents)
    rows = [(_named(coarse, words), _named(fine, words)) for fine, coarse in above.items()]
    return _tree(("coarse", "fine"), rows), {fine: number for number, fine in enumerate(sorted(above))}


def _all(
    synsets: Sequence[str], parents: wordnet.Parents, words: Mapping[str, str], depths: Sequence[int] | None
) -> tuple[Taxonomy, dict[str, int]]:
    """Every synset, below its parent or its ancestors at the depths asked for."""
    if depths is not None and (not depths or list(depths) != sorted(set(depths)) or depths[0] < 1):
        raise DataError(f"imagenet: depths = {list(depths)}: give rising numbers from 1 on, such as 5, 7, 9")
    rows = []
    for path in wordnet.one_path(synsets, parents).values():
        at = [min(depth, len(path) - 1) for depth in depths] if depths else [max(len(path) - 2, 0)]
        rows.append(tuple(_named(path[place], words) for place in (*at, -1)))
    levels = ("coarse", "fine") if depths is None else (*(f"depth{depth}" for depth in depths), "fine")
    return _tree(levels, rows), {synset: number for number, synset in enumerate(synsets)}


def _tree(levels: Sequence[str], rows: Iterable[Sequence[str]]) -> Taxonomy:
    """Names begin with the synset, so that sorted names are in the order of the synsets."""
    return Taxonomy.from_columns(levels, rows, source="imagenet")


def _manifest(folder: Path, parts: Mapping[str, Listed], taxonomy: Taxonomy, numbers: Mapping[str, int]) -> Manifest:
    """The images of the classes that are kept."""
    images: list[str] = []
    fine: list[int] = []
    counts = []
    for listed in parts.values():
        before = len(images)
        for path, synset in zip(listed.paths, listed.synsets, strict=True):
            if synset in numbers:
                images.append(path)
                fine.append(numbers[synset])
        counts.append(len(images) - before)
    numbered = np.array(fine, dtype=np.int64)
    levels = range(len(taxonomy.levels))
    return Manifest(
        source="imagenet",
        root=folder,
        images=pa.chunked_array([pa.array(images, pa.string())]),
        taxonomy=taxonomy,
        targets=np.stack([taxonomy.ancestor(-1, level)[numbered] for level in levels], axis=1),
        split_names=tuple(parts),
        split_codes=np.repeat(np.arange(len(parts), dtype=np.int8), counts),
    )
