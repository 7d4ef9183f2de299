"""The answer to one image: at every level the likeliest classes and their probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from linnet.taxonomy import Taxonomy

__all__ = ["Answered", "Failed", "LevelAnswer", "answer"]


@dataclass(frozen=True)
class LevelAnswer:
    """What is said of an image at one level.

    Attributes:
        level: the level's name.
        name: the likeliest class, as the taxonomy writes it.
        probability: its probability, 0 to 1.
        top: the likeliest classes with their probabilities, likeliest first; the first is `name`.
        calibrated: whether the probability was calibrated on the run's validation images.
    """

    level: str
    name: str
    probability: float
    top: tuple[tuple[str, float], ...]
    calibrated: bool


@dataclass(frozen=True, eq=False)
class Answered:
    """What is said of one image.

    Attributes:
        embedding: float32 (D,).
        levels: an answer for every level that the method names classes of, coarsest first; none of a method
            without a classifier.
    """

    embedding: NDArray[np.float32]
    levels: tuple[LevelAnswer, ...]

    def backoff(self, least: float) -> LevelAnswer | None:
        """The finest answer whose probability is at least `least`, None where none is.

        Where some levels are calibrated, only those count: a raw probability may be far too high.
        """
        sure = any(each.calibrated for each in self.levels)
        reaching = [each for each in self.levels if each.probability >= least and (each.calibrated or not sure)]
        return reaching[-1] if reaching else None


@dataclass(frozen=True)
class Failed:
    """An image that cannot be decoded, and why."""

    reason: str


def answer(
    taxonomy: Taxonomy, probabilities: Sequence[Tensor], calibrated: Sequence[bool], row: int, top: int
) -> tuple[LevelAnswer, ...]:
    """The answers of one row of `probabilities`, (B, classes) for each level from the coarsest."""
    found = []
    for level, each in enumerate(probabilities):
        values, numbers = each[row].topk(min(top, each.shape[1]))
        names = [taxonomy.classes[level][number] for number in numbers.tolist()]
        best = tuple(zip(names, values.tolist(), strict=True))
        found.append(LevelAnswer(taxonomy.levels[level], *best[0], best, calibrated[level]))
    return tuple(found)
