"""What a method says of images at every level of the classes: names, probabilities, and the scores behind them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from linnet.errors import RunError, TaxonomyError, nearest
from linnet.losses.hierarchy import coarse_log_probabilities
from linnet.methods.base import Prediction
from linnet.taxonomy import Taxonomy
from linnet.training.bundle import Bundle

__all__ = ["Levels", "find_class", "find_level", "readable"]


def readable(name: str) -> str:
    """A class's name as a reader would write it: "Sooty_Albatross" is "Sooty Albatross"."""
    return name.replace("_", " ").strip() or name


@dataclass(frozen=True)
class Levels:
    """The levels at which a bundle's method classifies, by itself or through the classes below.

    Attributes:
        taxonomy: the classes; `coarse` and `fine` are the levels the method works between.
    """

    taxonomy: Taxonomy
    coarse: int
    fine: int

    @classmethod
    def of(cls, bundle: Bundle) -> Levels:
        """Those of a bundle."""
        return cls(bundle.taxonomy, bundle.coarse, bundle.fine)

    def own(self, said: Prediction) -> dict[int, Tensor]:
        """The method's own logits (B, classes) by level, coarsest first; none of a method without a classifier."""
        logits = {self.fine: said.fine_logits, self.coarse: said.coarse_logits}
        return {level: logits[level] for level in sorted(logits) if logits[level] is not None}  # type: ignore[misc]

    def scores(self, said: Prediction) -> dict[int, Tensor]:
        """Logits (B, classes) of every level down to the finest that the method names, coarsest first.

        A level that the method says nothing of gets the total of the classes below: `log sum exp z_f`, whose softmax
        is the sum of their probabilities. So does one whose logits are that total as log-probabilities, which have
        no slope left where the method is certain.
        """
        own = self.own(said)
        if not own:
            return {}
        finest = max(own)
        found = {}
        for level in range(finest + 1):
            given = own.get(level)
            under = torch.from_numpy(self.taxonomy.membership(level, finest)).to(own[finest].device)
            if level < finest and (given is None or _is_total(given, own[finest], under)):
                given = coarse_log_probabilities(own[finest], under)
            assert given is not None
            found[level] = given
        return found


def _is_total(coarse: Tensor, fine: Tensor, under: Tensor) -> bool:
    """Whether coarse logits are the log-probabilities that fine ones add up to."""
    total = coarse_log_probabilities(torch.log_softmax(fine, 1), under)
    return torch.allclose(coarse, total, rtol=1e-3, atol=1e-3)


def find_class(levels: Levels, named: list[int], name: str, level: str | None = None) -> tuple[int, int]:
    """The level and number of a class by its name, among the levels that a method names classes of.

    Args:
        levels: the bundle's.
        named: level numbers.
        name: as in the taxonomy; spaces stand for underscores.
        level: "coarse", "fine", or a level's name; None looks at the finest first.

    Raises:
        TaxonomyError: no such class (names the nearest).
        RunError: the method does not name classes of that level.
    """
    among = named[::-1] if level is None else [find_level(levels, named, level)]
    for number in among:
        for candidate in (name, name.replace(" ", "_")):
            if candidate in levels.taxonomy.classes[number]:
                return number, levels.taxonomy.index(number, candidate)
    known = [each for number in among for each in levels.taxonomy.classes[number]]
    where = ", ".join(levels.taxonomy.levels[number] for number in among)
    raise TaxonomyError(f"no class {name!r} (level {where}){nearest(name, known)}; there are {len(known)} classes")


def find_level(levels: Levels, named: list[int], level: str) -> int:
    """The number of a level called "coarse", "fine", or by its name.

    Raises:
        TaxonomyError: no such level.
        RunError: the method does not name classes of it.
    """
    if level in levels.taxonomy.levels:
        number = levels.taxonomy.level(level)
    else:
        number = {"coarse": levels.coarse, "fine": levels.fine}.get(level, -1)
        number = levels.taxonomy.level(level) if number < 0 else number  # says what there is
    if number not in named:
        told = ", ".join(levels.taxonomy.levels[each] for each in named)
        raise RunError(f"the method names no {levels.taxonomy.levels[number]} class; it names classes of: {told}")
    return number
