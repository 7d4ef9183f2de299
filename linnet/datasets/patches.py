"""The two-patch synthetic set of paper 001 (CoIns) section 4.1: what a net looks at depends on what it is
taught.

A pool of 32 big and 128 small colour patches; each image is blank but for one big and one small patch.
Coarse classes are the big patches, fine classes the small ones; 512 images.

Where this departs from the paper, on purpose. The paper draws the two patches of an image independently, so
that a small patch meets many big ones and a fine class has no one parent: its "super-classes" and
"fine-grained classes" are two labellings, not a hierarchy. A taxonomy needs one parent for each class, so
here each small patch belongs to one big patch, four to each, and 512 images are exactly four of each fine
class. The attention maps of Fig. 2 ask the same question either way, since both patches are still drawn at
random places and each task needs only its own patch. The paper does not give sizes or what a colour patch
holds; here each is a random grid of colours (`CELLS` by `CELLS`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from linnet.datasets.assemble import assemble
from linnet.errors import DataError
from linnet.manifest import Manifest
from linnet.randomness import generator
from linnet.taxonomy import Taxonomy

__all__ = [
    "BIG",
    "BIG_SIDE",
    "BLANK",
    "CELLS",
    "SMALL_PER_BIG",
    "SMALL_SIDE",
    "Boxes",
    "load",
    "load_with_boxes",
]

BIG = 32
SMALL_PER_BIG = 4
CELLS = 2
BIG_SIDE = 0.44
"""Side of a big patch as a fraction of the image's side."""
SMALL_SIDE = 0.19
"""Side of a small patch as a fraction of the image's side."""
BLANK = 255
"""Grey value of an image where there is no patch."""


@dataclass(frozen=True)
class Boxes:
    """Where the patches are: int64 (N, 4) each: top, left, bottom, right in pixels, last two exclusive."""

    big: NDArray[np.int64]
    small: NDArray[np.int64]


def load(
    root: Path | str | None = None,
    *,
    seed: int = 0,
    size: int = 64,
    train_per_class: int = 4,
    test_per_class: int = 0,
) -> Manifest:
    """The images as a manifest with levels ("coarse", "fine"); `load_with_boxes` says more."""
    return load_with_boxes(root, seed=seed, size=size, train_per_class=train_per_class, test_per_class=test_per_class)[
        0
    ]


def load_with_boxes(
    root: Path | str | None = None,
    *,
    seed: int = 0,
    size: int = 64,
    train_per_class: int = 4,
    test_per_class: int = 0,
) -> tuple[Manifest, Boxes]:
    """Draw the set, and say where each patch lies.

    Args:
        root: not used; there for the sake of the other data sets' signature.
        seed: draws the pool and the places. An image depends on the seed, its class and its number within
            the class.
        size: height and width in pixels, at least 16.
        train_per_class: images of each of the 128 fine classes in the split "train"; the paper's 512 images
            are 4.
        test_per_class: the same for "test"; the paper has none, and looks at the attention maps of its
            training images.

    Raises:
        DataError: a size or count that cannot be.
    """
    if size < 16 or train_per_class < 1 or test_per_class < 0:
        raise DataError(
            f"patches: size={size}, train_per_class={train_per_class}, test_per_class={test_per_class}: "
            "allowed are size >= 16, train_per_class >= 1, test_per_class >= 0"
        )
    fine_count = BIG * SMALL_PER_BIG
    splits = {"train": train_per_class, "test": test_per_class} if test_per_class else {"train": train_per_class}
    keys = [(split, fine, n) for split, count in splits.items() for fine in range(fine_count) for n in range(count)]
    big_pool, small_pool = (
        _pool(seed, "big", BIG, size, BIG_SIDE),
        _pool(seed, "small", fine_count, size, SMALL_SIDE),
    )
    fine = np.array([key[1] for key in keys], dtype=np.int64)
    pixels = np.full((len(keys), size, size, 3), BLANK, dtype=np.uint8)
    boxes = Boxes(np.zeros((len(keys), 4), dtype=np.int64), np.zeros((len(keys), 4), dtype=np.int64))
    for row, (split, label, number) in enumerate(keys):
        rng = generator(seed, f"patches {split}", label, number)
        big_patch, small_patch = big_pool[label // SMALL_PER_BIG], small_pool[label]
        big, small = _places(rng, size, len(big_patch), len(small_patch))
        for patch, box, kept in ((big_patch, big, boxes.big), (small_patch, small, boxes.small)):
            pixels[row, box[0] : box[2], box[1] : box[3]] = patch
            kept[row] = box
    manifest = assemble(
        source="patches",
        root=Path(),
        images=[f"{split}/{_fine_name(label)}_{number}.png" for split, label, number in keys],
        taxonomy=_taxonomy(),
        targets=np.stack([fine // SMALL_PER_BIG, fine], axis=1),
        splits={split: count * fine_count for split, count in splits.items()},
        pixels=pixels,
    )
    return manifest, boxes


def _fine_name(fine: int) -> str:
    return f"small_{fine:03d}"


def _taxonomy() -> Taxonomy:
    fine = range(BIG * SMALL_PER_BIG)
    coarse_names = tuple(f"big_{number:02d}" for number in range(BIG))
    parents = tuple(number // SMALL_PER_BIG for number in fine)
    return Taxonomy(("coarse", "fine"), (coarse_names, tuple(_fine_name(number) for number in fine)), ((), parents))


def _pool(seed: int, kind: str, count: int, size: int, side: float) -> NDArray[np.uint8]:
    """Patches of CELLS x CELLS random colours, uint8 (count, S, S, 3); none is near the blank's white."""
    pixels = max(CELLS, round(size * side / CELLS) * CELLS)
    colours = generator(seed, f"patches pool {kind}").integers(0, 216, (count, CELLS, CELLS, 3), dtype=np.uint8)
    each = pixels // CELLS
    return colours.repeat(each, axis=1).repeat(each, axis=2)


def _places(
    rng: np.random.Generator, size: int, big: int, small: int
) -> tuple[tuple[int, int, int, int], tuple[int, int, int, int]]:
    """Two boxes (top, left, bottom, right) inside the image that do not overlap, all pairs equally likely."""
    while True:  # the big patch takes a fifth of the image, so this ends within a few draws
        y, x = (int(number) for number in rng.integers(0, size - big + 1, 2))
        v, u = (int(number) for number in rng.integers(0, size - small + 1, 2))
        if v + small <= y or y + big <= v or u + small <= x or x + big <= u:
            return (y, x, y + big, x + big), (v, u, v + small, u + small)
