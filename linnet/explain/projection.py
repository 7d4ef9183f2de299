"""Embeddings laid out in the plane: PCA and t-SNE, with how far the picture can be trusted (paper 000, Fig. 6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from linnet.errors import RecipeError, RunError, TaxonomyError, nearest
from linnet.manifest_read import normal_split
from linnet.methods.base import Method
from linnet.randomness import key, permutation
from linnet.training.data import TrainingData
from linnet.training.device import find_place
from linnet.training.run import Run
from linnet.training.source import open_source

__all__ = ["Cloud", "Projection", "choose_classes", "embed_rows", "project", "projections", "rows_to_show"]

_KINDS: tuple[Literal["pca"], Literal["tsne"]] = ("pca", "tsne")
_NEIGHBOURS = 10


@dataclass(frozen=True)
class Projection:
    """Points of the plane.

    Attributes:
        points: float64 (n, 2), without a unit.
        method: "PCA" or "t-SNE".
        trust: trustworthiness, 0 to 1 (Venna & Kaski 2001): 1 where the 10 nearest points of the picture are near in
            the embedding too; about 0.5 for points strewn at random.
    """

    points: NDArray[np.float64]
    method: str
    trust: float


@dataclass(frozen=True)
class Cloud:
    """Embeddings of one kind: its name, and float32 (n, D)."""

    name: str
    embedding: NDArray[np.float32]


def project(embedding: NDArray[np.floating], kind: Literal["pca", "tsne"], seed: int = 0) -> Projection:
    """Lay embeddings (n, D) out in the plane by their cosines: each is scaled to length 1 first.

    t-SNE (van der Maaten & Hinton 2008) starts from the first two principal components, with perplexity 30, or less
    for few points. It keeps neighbours together, while distances between clusters and their sizes say nothing.

    Raises:
        ValueError: fewer than 5 points, or an embedding is not finite.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE, trustworthiness

    if len(embedding) < 5 or not np.isfinite(embedding).all():
        raise ValueError(f"{len(embedding)} embeddings; need 5 or more, all finite")
    rows = embedding.astype(np.float64)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    count, width = rows.shape
    if kind == "pca":
        points = PCA(2, svd_solver="full").fit_transform(rows)
    else:
        fewer = PCA(min(50, count, width), svd_solver="full").fit_transform(rows)
        perplexity = min(30.0, (count - 1) / 3)
        state = key(seed, "t-SNE") % 2**32
        points = TSNE(2, perplexity=perplexity, init="pca", random_state=state).fit_transform(fewer)
    trust = trustworthiness(rows, points, n_neighbors=max(1, min(_NEIGHBOURS, count // 2 - 1)))
    return Projection(points.astype(np.float64), {"pca": "PCA", "tsne": "t-SNE"}[kind], float(trust))


def projections(embedding: NDArray[np.floating], kind: str) -> list[Projection]:
    """The projections that "pca", "tsne" or "both" stand for."""
    return [project(embedding, each) for each in _KINDS if kind in (each, "both")]


def rows_to_show(run: Run, split: str | None, count: int) -> NDArray[np.int64]:
    """Up to `count` rows of a split (test, else validation, when None) with a coarse label, drawn by a fixed seed.

    Raises:
        RecipeError: no such split, or none of its images has a label.
    """
    data = run.load()
    split = normal_split(split) if split else ("test" if len(data.rows.get("test", ())) else "validation")
    rows = data.rows.get(split, np.empty(0, np.int64))
    known = rows[data.manifest.targets[rows, data.coarse] >= 0]
    if len(known) < 5:
        told = ", ".join(data.rows)
        raise RecipeError(f"split {split!r} has {len(known)} images with a coarse label; splits there: {told}")
    return np.sort(known[permutation(len(known), 0, "projection")[:count]])


def embed_rows(run: Run, rows: NDArray[np.int64]) -> list[Cloud]:
    """Every kind of embedding that a run's method has, of some rows of its data."""
    data, place = run.load(), find_place(run.recipe.change(precision="fp32"))
    method: Method = run.bundle.method.to(place.device).eval()
    source = open_source(data, rows, run.bundle.preprocessing, run.recipe, place)
    parts: dict[str, list[NDArray[np.float32]]] = {}
    with torch.inference_mode():
        for batch in source.sequential(run.recipe.batch_size):
            for name, each in method.embeddings(batch.images).items():
                parts.setdefault(name, []).append(each.float().cpu().numpy())
    source.close()
    return [Cloud(name, np.concatenate(pieces)) for name, pieces in parts.items()]


def choose_classes(data: TrainingData, rows: NDArray[np.int64], wanted: str | None, count: int = 4) -> list[int]:
    """The coarse classes whose fine classes are told apart by colour: those named, or the most frequent ones.

    By default classes of two to ten fine classes come first, for more cannot be told apart by eye.

    Raises:
        TaxonomyError: no such class.
        RunError: no row has a fine label.
    """
    taxonomy, targets = data.manifest.taxonomy, data.manifest.targets[rows]
    names = taxonomy.classes[data.coarse]
    if wanted is not None:
        return [_class(names, each.strip()) for each in wanted.split(",")]
    fine = targets[targets[:, data.fine] >= 0]
    if not len(fine) or data.coarse == data.fine:
        raise RunError("no image of the split has a fine label, so there are no fine classes to colour")
    images = np.bincount(fine[:, data.coarse], minlength=len(names))
    pairs = np.unique(fine[:, [data.coarse, data.fine]], axis=0)
    children = np.bincount(pairs[:, 0], minlength=len(names))
    fit = (children >= 2) & (children <= 10)
    order = sorted(range(len(names)), key=lambda c: (not fit[c], -images[c]))
    return [c for c in order[:count] if images[c]]


def _class(names: tuple[str, ...], wanted: str) -> int:
    for candidate in (wanted, wanted.replace(" ", "_")):
        if candidate in names:
            return names.index(candidate)
    raise TaxonomyError(f"no coarse class {wanted!r}{nearest(wanted, names)}; there are {len(names)}")
