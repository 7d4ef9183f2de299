"""Recall@k of an embedding under cosine similarity, exact for every k at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from linnet.metrics.ranks import Array, best_positive_ranks, integer_rows, unit_rows

__all__ = ["query_ranks", "recall_at_k"]


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
    dtype: torch.dtype = torch.float32,
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
    Memory beyond the inputs: one float32 copy of the embeddings and a few tiles of chunk x chunk.

    Args:
        embeddings: (n, D) floating, tensor on any device or numpy array.
        labels: (n,) integers.
        ks: which k, each at least 1.
        gallery: (m, D), with `gallery_labels` (m,); None for leave-one-out among `embeddings`.
        gallery_labels: (m,) integers.
        within: (n,) integers, usually coarse classes; with a gallery also `gallery_within` (m,).
        gallery_within: (m,) integers.
        chunk: rows of a tile on either side; None takes 1024, on CUDA 8192.
        dtype: of the tiles, float32 or float64 (slower on most devices, same figures).

    Raises:
        ValueError: shapes do not fit, a value is not finite (its row is named), a k is below 1, or no query
            is labelled.
    """
    if not ks or min(ks) < 1:
        raise ValueError(f"ks is {tuple(ks)}; need one or more numbers, each at least 1")
    ranks = query_ranks(
        embeddings,
        labels,
        gallery=gallery,
        gallery_labels=gallery_labels,
        within=within,
        gallery_within=gallery_within,
        chunk=chunk,
        dtype=dtype,
    )
    scored = ranks[ranks >= 0]
    if not len(scored):
        raise ValueError("no query has a label (all are -1): there is nothing to score")
    return {int(k): 100.0 * int((scored < k).sum()) / len(scored) for k in ks}


def query_ranks(
    embeddings: Array,
    labels: Array,
    *,
    gallery: Array | None = None,
    gallery_labels: Array | None = None,
    within: Array | None = None,
    gallery_within: Array | None = None,
    chunk: int | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """How many negatives stand before each query's best positive: int64 (n,) on the embeddings' device.

    -1 for rows that are no query, MISS for queries without a positive. Arguments, errors: see `recall_at_k`.
    """
    alone = gallery is None
    if alone != (gallery_labels is None):
        raise ValueError("give gallery and gallery_labels together or neither")
    if (alone or within is None) != (gallery_within is None):
        raise ValueError("gallery_within is needed exactly when both gallery and within are given")
    query = unit_rows(embeddings, "embeddings")
    chunk = (8192 if query.is_cuda else 1024) if chunk is None else chunk
    label = integer_rows(labels, query, "labels")
    group = None if within is None else integer_rows(within, query, "within")
    pool, pool_label, pool_group = query, label, group
    if gallery is not None and gallery_labels is not None:
        pool = unit_rows(gallery, "gallery").to(query.device)
        pool_label = integer_rows(gallery_labels, pool, "gallery_labels")
        pool_group = None if gallery_within is None else integer_rows(gallery_within, pool, "gallery_within")
    if pool.shape[1] != query.shape[1]:
        raise ValueError(f"embeddings have {query.shape[1]} numbers a row, the gallery {pool.shape[1]}")
    if group is None or pool_group is None:
        return best_positive_ranks(query, label, pool, pool_label, alone, chunk, dtype)
    ranks = torch.full_like(label, -1)
    for value in sorted(set(group[(group >= 0) & (label >= 0)].tolist())):
        mine, theirs = (group == value).nonzero()[:, 0], (pool_group == value).nonzero()[:, 0]
        part, others = query[mine], pool[theirs]
        ranks[mine] = best_positive_ranks(part, label[mine], others, pool_label[theirs], alone, chunk, dtype)
    return ranks
