"""A split drawn by a seed, for data sets that come without the one a paper uses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from linnet.randomness import permutation

__all__ = ["TRAIN_SHARE", "draw_split"]

TRAIN_SHARE = 3 / 5
"""Paper 000, section 4.1: the images of each fine class are divided 3 : 2 at random."""


def draw_split(
    fine: NDArray[np.int64], names: Sequence[str], seed: int, share: float = TRAIN_SHARE
) -> NDArray[np.int8]:
    """Divide the images of each fine class at random: int8 (N,), 0 train and 1 test.

    A class is drawn by a key of the seed and its name, so that a copy of the set with some of the classes has the same
    images on either side. round(share n) of a class's n images are for training.

    Args:
        fine: (N,) class numbers.
        names: what they are called.
        seed: another seed is another split; paper 000 averages over several.
        share: of each class that is for training.
    """
    codes = np.ones(len(fine), dtype=np.int8)
    for number, name in enumerate(names):
        members = np.flatnonzero(fine == number)
        drawn = permutation(len(members), seed, f"split of {name}")
        codes[members[drawn[: round(share * len(members))]]] = 0
    return codes
