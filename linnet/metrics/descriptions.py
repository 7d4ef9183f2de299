"""Whether descriptions tell classes apart: what no method that names fine classes by them can do better than."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Family", "Separation", "separation"]

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Family:
    """The fine classes under one coarse class.

    Attributes:
        coarse: its number.
        children: numbers of the fine classes, ascending.
        cosine: mean cosine over pairs of children; None with fewer than two.
        closest: the two children of highest cosine, and it; None with fewer than two.
        alike: all pairs whose descriptions are the same, or whose cosine is at least the `close` asked for.
    """

    coarse: int
    children: tuple[int, ...]
    cosine: float | None
    closest: tuple[int, int, float] | None
    alike: tuple[tuple[int, int, float], ...]


@dataclass(frozen=True)
class Separation:
    """How descriptions of F fine classes differ within and between families. Cosines are of centred vectors.

    Attributes:
        attributes: A.
        constant: numbers of the columns that are the same for all fine classes.
        within: mean cosine over pairs of siblings; None where no class has one.
        between: mean cosine over pairs of classes of different families; None with one family.
        share_within: share of the vectors' variance that is within families, 0..1: 0 where siblings are described
            alike; None where all classes are.
        families: one for each coarse class, in their order.
    """

    attributes: int
    constant: tuple[int, ...]
    within: float | None
    between: float | None
    share_within: float | None
    families: tuple[Family, ...]


def separation(fine_attributes: Vectors, parent: NDArray[np.int64], coarse: int, close: float = 0.95) -> Separation:
    """Look at descriptions (F, A) of fine classes whose parents are `parent` (F,), numbers below `coarse`.

    Vectors are centred: less their mean over all fine classes, as methods compare them. A class described like the
    mean has cosine 0 to all.

    Args:
        fine_attributes: (F, A), finite.
        parent: (F,).
        coarse: C, the number of coarse classes.
        close: cosine from which on a pair of siblings is listed as alike.

    Raises:
        ValueError: shapes do not fit.
    """
    if fine_attributes.ndim != 2 or parent.shape != fine_attributes.shape[:1] or not len(parent):
        raise ValueError(f"attributes {fine_attributes.shape} and parents {parent.shape}: need (F, A) and (F,), F > 0")
    vectors = fine_attributes.astype(np.float64)
    constant = np.flatnonzero((vectors == vectors[0]).all(0))
    centred = vectors - vectors.mean(0)
    total = float((centred**2).sum())
    cosine = _cosines(centred)
    upper = np.triu(np.ones(cosine.shape, dtype=np.bool_), 1)
    siblings = parent[:, None] == parent[None, :]
    same = _same(fine_attributes)
    inside = sum(
        float(((centred[own] - centred[own].mean(0)) ** 2).sum())
        for own in (np.flatnonzero(parent == c) for c in range(coarse))
        if len(own)
    )
    return Separation(
        attributes=vectors.shape[1],
        constant=tuple(constant.tolist()),
        within=_mean(cosine[upper & siblings]),
        between=_mean(cosine[upper & ~siblings]),
        share_within=inside / total if total > 0 else None,
        families=tuple(_family(c, np.flatnonzero(parent == c), cosine, same, close) for c in range(coarse)),
    )


def _cosines(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    units = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
    cosines: NDArray[np.float64] = np.clip(units @ units.T, -1, 1)
    return cosines


def _same(vectors: Vectors) -> NDArray[np.bool_]:
    """Which pairs of classes have one and the same description, bool (F, F)."""
    _, number = np.unique(vectors, axis=0, return_inverse=True)
    return np.equal(number.reshape(-1, 1), number.reshape(1, -1))


def _mean(values: NDArray[np.float64]) -> float | None:
    return float(values.mean()) if len(values) else None


def _family(
    coarse: int, children: NDArray[np.int64], cosine: NDArray[np.float64], same: NDArray[np.bool_], close: float
) -> Family:
    pairs = [
        (int(a), int(b), float(cosine[a, b]), bool(same[a, b]))
        for i, a in enumerate(children)
        for b in children[i + 1 :]
    ]
    ranked = sorted(pairs, key=lambda pair: (-pair[3], -pair[2]))
    return Family(
        coarse=coarse,
        children=tuple(children.tolist()),
        cosine=float(np.mean([pair[2] for pair in pairs])) if pairs else None,
        closest=ranked[0][:3] if ranked else None,
        alike=tuple(pair[:3] for pair in ranked if pair[3] or pair[2] >= close),
    )
