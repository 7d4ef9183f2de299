"""Recall@k of an embedding under cosine similarity, exact for every k at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from linnet.metrics.positives import Labels
from linnet.metrics.ranks import best_positive_ranks
from linnet.metrics.tally import MISS
from linnet.metrics.tiles import tile_rows
from linnet.metrics.unit_vectors import Array, Units, integer_rows, roads, unit_rows

__all__ = ["Relevance", "query_ranks", "recall_at_k", "recalls_at_k"]


@dataclass(frozen=True)
class Relevance:
    """What counts as a hit: the same label; with `within`, in a gallery of the query's own within-label.

    Attributes:
        labels: (n,) integers, -1 for unknown.
        within: (n,) integers or None, -1 for rows that take no part.
    """

    labels: Array
    within: Array | None = None


def recall_at_k(
    embeddings: Array,
    labels: Array,
    ks: Sequence[int] = (1, 2, 4, 8),
    *,
    gallery: Array | None = None,
    gallery_labels: Array | None = None,
    within: Array | None = None,
    gallery_within: Array | None = None,
    chunk: int | None = None,
    dtype: torch.dtype | None = None,
) -> dict[int, float]:
    """Recall@k in percent (0 to 100): how many labelled queries have a positive among their k nearest.

    Conventions:
        - Cosine similarity; a zero vector has similarity 0 to everything.
        - Without `gallery` every image queries all others; only the image itself is left out, duplicates
          stay.
        - Ties are pessimistic: a negative as similar as the best positive stands before it, so a collapsed
          embedding scores 0 (for k up to the number of negatives).
        - A labelled query without any positive in its gallery is a miss, and counts.
        - Label -1 is never a query and never a positive; in the gallery it is a negative (a distractor).
        - With `within`, a query's gallery is the images of its own within-label; rows whose within-label is
          -1 take no part.

    Guaranteed: the same inputs give the same figures for every `chunk`, `dtype`, matmul precision and
    number of threads, because similarities are compared exactly, on unit vectors rounded to 24 binary
    places. (So cosines closer than about 1e-7 may tie, and rows that differ by a positive factor do.)
    Assumed of the device: products of 16-bit numbers are summed in float32 and rounded once, order-preserving.
    Memory beyond the inputs: a float32 and a 16-bit copy of the embeddings and a few tiles.

    Args:
        embeddings: (n, D) floating, tensor on any device or numpy array.
        labels: (n,) integers.
        ks: which k, each at least 1.
        gallery: (m, D), with `gallery_labels` (m,); None for leave-one-out among `embeddings`.
        gallery_labels: (m,) integers.
        within: (n,) integers, usually coarse classes; with a gallery also `gallery_within` (m,).
        gallery_within: (m,) integers.
        chunk: rows of a tile, which has up to 4 times as many columns; None takes 1024, on CUDA 4096.
        dtype: what tiles are tried in first: bfloat16, float16, float32 or float64; None takes what the device
            multiplies fastest. Tiles that leave much in doubt are computed again in the next finer one.

    Raises:
        ValueError: shapes do not fit, a value is not finite (its row is named), a k is below 1, or no query
            is labelled.
    """
    ranks = query_ranks(
        embeddings,
        labels,
        gallery=gallery,
        gallery_labels=gallery_labels,
        within=within,
        gallery_within=gallery_within,
        chunk=chunk,
        dtype=dtype,
        most=_highest(ks),
    )
    return _shares(ranks, ks)


def recalls_at_k(
    embeddings: Array,
    relevances: Mapping[str, Relevance],
    ks: Sequence[int] = (1, 2, 4, 8),
    *,
    chunk: int | None = None,
    dtype: torch.dtype | None = None,
) -> dict[str, dict[int, float]]:
    """`recall_at_k` leave-one-out for several labellings of one embedding, in one pass; by the names given.

    Errors: see `recall_at_k`; a labelling without any labelled query is one.
    """
    most = _highest(ks)
    query = unit_rows(embeddings, "embeddings")
    asked = {name: _question(query, query, given.labels, given.within) for name, given in relevances.items()}
    found = _ranks(query, query, list(asked.values()), True, chunk, dtype, most)
    return {name: _shares(ranks, ks) for name, ranks in zip(asked, found, strict=True)}


def query_ranks(
    embeddings: Array,
    labels: Array,
    *,
    gallery: Array | None = None,
    gallery_labels: Array | None = None,
    within: Array | None = None,
    gallery_within: Array | None = None,
    chunk: int | None = None,
    dtype: torch.dtype | None = None,
    most: int = MISS,
) -> Tensor:
    """How many negatives stand before each query's best positive: int64 (n,) on the embeddings' device.

    -1 for rows that are no query, MISS for queries without a positive. Ranks above `most`, at least 1, are given
    as `most`: that decides recall up to k = `most` with less work. Other arguments, errors: see `recall_at_k`.
    """
    alone = gallery is None
    if alone != (gallery_labels is None):
        raise ValueError("give gallery and gallery_labels together or neither")
    if (alone or within is None) != (gallery_within is None):
        raise ValueError("gallery_within is needed exactly when both gallery and within are given")
    query = unit_rows(embeddings, "embeddings")
    pool = query if gallery is None else unit_rows(gallery, "gallery").to(query.device)
    if pool.exact.shape[1] != query.exact.shape[1]:
        raise ValueError(f"embeddings have {query.exact.shape[1]} numbers a row, the gallery {pool.exact.shape[1]}")
    question = _question(query, pool, labels, within, gallery_labels, gallery_within)
    return _ranks(query, pool, [question], alone, chunk, dtype, most)[0]


@dataclass(frozen=True)
class _Question:
    labels: Labels
    groups: Labels | None


def _question(
    query: Units,
    pool: Units,
    labels: Array,
    within: Array | None,
    pool_labels: Array | None = None,
    pool_within: Array | None = None,
) -> _Question:
    label = integer_rows(labels, query, "labels")
    there = label if pool_labels is None else integer_rows(pool_labels, pool, "gallery_labels")
    if within is None:
        return _Question(Labels(label, there), None)
    group = integer_rows(within, query, "within")
    other = group if pool_within is None else integer_rows(pool_within, pool, "gallery_within")
    return _Question(Labels(label, there), Labels(group, other))


def _ranks(
    query: Units,
    pool: Units,
    questions: Sequence[_Question],
    alone: bool,
    chunk: int | None,
    dtype: torch.dtype | None,
    most: int,
) -> list[Tensor]:
    """Ranks for each question: one pass for all without groups, small ones for each group of the others."""
    device = query.device
    chunk = tile_rows(device) if chunk is None else chunk

    def count(a: Units, b: Units, labellings: list[Labels]) -> list[Tensor]:
        return best_positive_ranks(a, b, labellings, alone=alone, chunk=chunk, roads=roads(dtype, device), most=most)

    plain = [question.labels for question in questions if question.groups is None]
    whole = iter(count(query, pool, plain) if plain else ())
    found = []
    for question in questions:
        if question.groups is None:
            found.append(next(whole))
            continue
        label, group = question.labels, question.groups
        ranks = torch.full_like(label.query, -1)
        for value in sorted(set(group.query[(group.query >= 0) & (label.query >= 0)].tolist())):
            mine, theirs = (group.query == value).nonzero()[:, 0], (group.pool == value).nonzero()[:, 0]
            part = query.take(mine)
            others = part if alone else pool.take(theirs)
            ranks[mine] = count(part, others, [Labels(label.query[mine], label.pool[theirs])])[0]
        found.append(ranks)
    return found


def _highest(ks: Sequence[int]) -> int:
    if not ks or min(ks) < 1:
        raise ValueError(f"ks is {tuple(ks)}; need one or more numbers, each at least 1")
    return max(ks)


def _shares(ranks: Tensor, ks: Sequence[int]) -> dict[int, float]:
    scored = ranks[ranks >= 0]
    if not len(scored):
        raise ValueError("no query has a label (all are -1): there is nothing to score")
    return {int(k): 100.0 * int((scored < k).sum()) / len(scored) for k in ks}
