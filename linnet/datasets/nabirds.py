"""NABirds (Van Horn et al. 2015): 555 visual categories of birds in a hierarchy, from the official files.

The official split has 23,929 training and 24,633 test images. Two readings of its classes:

- the hierarchy, as hierarchy.txt gives it, as levels ("group", "family", "species", "class"): 22 groups (loons, owls,
  perching birds), 50 families, 404 species, and 555 categories such as "Western Tanager (Breeding Male)". Only perching
  birds have families there; in the other groups the group stands for the family.
- `coarse="suffix"`, paper 003's way, as levels ("coarse", "fine"): the last word of the species, hyphens kept, gives
  exactly the paper's 156 ("Black-crowned Night-Heron (Adult)": Night-Heron). Split at hyphens too it would give 148.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from linnet.datasets import fetch
from linnet.datasets.coarse import coarse_table, grouped
from linnet.datasets.lists import FILES, Pairs, find_folder, listed_manifest, read_pairs, read_photos
from linnet.errors import DataError
from linnet.hierarchy import first_few
from linnet.manifest import Manifest
from linnet.taxonomy import Taxonomy

__all__ = ["FOLDER", "LEVELS", "URL", "load", "species"]

URL = "https://dl.allaboutbirds.org/nabirds"
FOLDER = "nabirds"
LEVELS = ("group", "family", "species", "class")

_TREE = "hierarchy.txt"
_HOW = f"Ask for nabirds.tar.gz at {URL} and unpack it with 'tar xzf nabirds.tar.gz'"


def load(root: Path | str | None = None, *, coarse: Literal["hierarchy", "suffix"] = "hierarchy") -> Manifest:
    """Read NABirds as a manifest with splits "train" and "test"; levels as the module's text says.

    Class names are the official ones. Classes are those that have an image, in the official order.

    Args:
        root: the folder `nabirds`, or the one that holds it; default as `fetch.data_root` says.
        coarse: the official hierarchy, or coarse classes from the names.

    Raises:
        DataError: files are absent (says which, where they were looked for, and where they come from), cannot
            be read or do not fit together; names the lines.
        ManifestError: an image is listed twice.
    """
    files = (*FILES, _TREE) if coarse == "hierarchy" else FILES
    folder = find_folder(fetch.data_root(root), FOLDER, files, "NABirds", _HOW)
    photos = read_photos(folder)
    if coarse == "suffix":
        table = coarse_table("nabirds")
        groups = {name: table.get(species(name), "") for name in photos.names.values()}
        known = {name: group for name, group in groups.items() if group}
        taxonomy = grouped(list(photos.names.values()), known or table, f"{folder}/classes.txt")
    else:
        taxonomy = _hierarchy(photos.names, read_pairs(folder / "classes.txt"), read_pairs(folder / _TREE))
    numbers = {key: number for number, key in enumerate(photos.names)}
    return listed_manifest("nabirds", photos, taxonomy, numbers)


def species(name: str) -> str:
    """A class name without what stands in brackets: 'Western Tanager (Breeding Male)' is a Western Tanager."""
    return re.sub(r"\s*\(.*\)\s*$", "", name)


def _hierarchy(names: Mapping[str, str], nodes: Pairs, tree: Pairs) -> Taxonomy:
    """The four levels of the classes with images, each row coarsest first."""
    problems: list[str] = []
    paths: list[tuple[str, ...]] = []
    for key, name in names.items():
        above: list[str] = []
        node = key
        # The root, "Birds", is no class; the bound stops at a cycle.
        while (parent := tree.texts.get(node)) is not None and len(above) <= len(LEVELS):
            above.append(node)
            node = parent
        unknown = [each for each in above if each not in nodes.texts]
        if len(above) not in (len(LEVELS) - 1, len(LEVELS)) or unknown:
            problems.append(f"class {key} ({name}): {len(above)} steps to the root, not 3 or 4")
            continue
        path = [nodes.texts[each] for each in reversed(above)]
        paths.append(tuple(path if len(path) == len(LEVELS) else [path[0], *path]))
    if problems:
        raise DataError(f"{tree.path}: not the official hierarchy:\n{first_few(problems)}\nUnpack the archive again.")
    return _in_order(paths)


def _in_order(paths: list[tuple[str, ...]]) -> Taxonomy:
    """The taxonomy of paths of names, the finest classes in the order of the paths and coarser ones by name."""
    found = Taxonomy.from_columns(LEVELS, paths, source="NABirds")
    last = tuple(path[-1] for path in paths)
    above = dict(zip(found.classes[-1], found.parents[-1], strict=True))
    return Taxonomy(LEVELS, (*found.classes[:-1], last), (*found.parents[:-1], tuple(above[name] for name in last)))
