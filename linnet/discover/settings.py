"""How clusters are looked for."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from linnet.errors import RecipeError, nearest

__all__ = ["METHODS", "Method", "Settings"]

Method = Literal["k-means", "hdbscan"]
METHODS: tuple[str, ...] = get_args(Method)
"""The ways to cluster."""


@dataclass(frozen=True)
class Settings:
    """How clusters are looked for.

    Attributes:
        method: "k-means", on unit vectors; or "hdbscan", which leaves images out that are in no dense place.
        clusters: of k-means, how many in every coarse class: a number, "auto" to choose it by stability, or "true" for
            as many as there are known fine classes. HDBSCAN finds their number itself.
        pca: keep this many principal components of each coarse class; None keeps vectors as they are.
        most: the largest number that "auto" tries.
        least: the fewest images of a cluster, for "auto" and HDBSCAN.
        seed: key of every draw.
        repeats: how many pairs of subsamples stability is measured on.
        sample: images of a subsample, at most.

    Raises:
        RecipeError: a setting that is not allowed.
    """

    method: Method = "k-means"
    clusters: int | Literal["auto", "true"] = "auto"
    pca: int | None = None
    most: int = 20
    least: int = 5
    seed: int = 0
    repeats: int = 10
    sample: int = 1000

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise RecipeError(f"method {self.method!r}: choose {' or '.join(METHODS)}{nearest(self.method, METHODS)}")
        if isinstance(self.clusters, str) and self.clusters not in ("auto", "true"):
            raise RecipeError(f"clusters {self.clusters!r}: give a number, auto or true")
        if self.method == "hdbscan" and self.clusters != "auto":
            raise RecipeError(
                f"clusters = {self.clusters}: HDBSCAN finds the number itself, from the fewest images of a cluster; "
                "set least, or take k-means"
            )
        lowest = {"clusters": 1, "pca": 1, "most": 2, "least": 2, "repeats": 2, "sample": 20}
        for name, low in lowest.items():
            value = getattr(self, name)
            if isinstance(value, int) and value < low:
                raise RecipeError(f"{name} = {value}: give {low} or more")

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON content."""
        return asdict(self)
