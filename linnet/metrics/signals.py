"""What can be measured of an embedding without fine labels: candidates for choosing settings by.

None of them is fine recall: whether one tracks it is a matter of experiment.
"""

from __future__ import annotations

import torch
from torch import Tensor

from linnet.metrics.recall import recall_at_k
from linnet.metrics.unit_vectors import unit_rows

__all__ = ["effective_rank", "reidentification"]


@torch.no_grad()
def effective_rank(embeddings: Tensor, coarse: Tensor) -> float:
    """How many directions the images of a coarse class spread over: at least 1, at most min(D, images - 1).

    The rows of each coarse class are scaled to unit length (recall compares by cosine) and centred; with s
    their singular values and p = s^2 / sum s^2 the rank is exp(-sum p log p) (Roy & Vetterli 2007, with s^2
    in place of
    s: the spectrum of the covariance). A class whose rows are all alike counts 0. Mean over coarse classes
    with two images or more, each class alike.

    Args:
        embeddings: (n, D) floating.
        coarse: (n,) integers; rows with -1 are left out.

    Raises:
        ValueError: an embedding is not finite (names the row), or no coarse class has two images.
    """
    units, coarse = unit_rows(embeddings, "embeddings").exact, coarse.to(embeddings.device)
    ranks = []
    for c in sorted(set(coarse[coarse >= 0].tolist())):
        rows = units[coarse == c].double()
        if len(rows) < 2:
            continue
        rows = rows - rows.mean(0)
        square = rows.T @ rows if rows.shape[0] > rows.shape[1] else rows @ rows.T
        values = torch.linalg.eigvalsh(square).clamp_min(0)
        total = float(values.sum())
        # 2^-24 is the grid of the units: a spread below it is rounding, not information.
        if total <= len(rows) * rows.shape[1] * 2.0**-48:
            ranks.append(0.0)
            continue
        ranks.append(float(torch.special.entr(values / total).sum().exp()))
    if not ranks:
        raise ValueError("no coarse class has two images: there is no spread to measure")
    return sum(ranks) / len(ranks)


def reidentification(views: Tensor, plain: Tensor, coarse: Tensor) -> float:
    """How often an augmented view finds its own image among the images of its coarse class, in percent (0
    to 100).

    Row i of both is the same image. Cosine; ties are pessimistic; chance is the mean of 1 / (images in the
    class).

    Args:
        views: (n, D) embeddings of one augmented view of each image.
        plain: (n, D) embeddings of the images as they are.
        coarse: (n,) integers; rows with -1 are left out.

    Raises:
        ValueError: shapes do not fit or an embedding is not finite (its row is named).
    """
    if len(views) != len(plain):
        raise ValueError(f"{len(views)} views of {len(plain)} images; need one view of each image")
    rows = torch.arange(len(views))
    found = recall_at_k(views, rows, (1,), gallery=plain, gallery_labels=rows, within=coarse, gallery_within=coarse)
    return found[1]
