"""Embeddings and figures of a method on rows of a manifest; the same under any number of processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from linnet.errors import NonFiniteError
from linnet.methods.base import Method
from linnet.metrics.accuracy import top_k
from linnet.metrics.chance import recall_chance, top_k_chance
from linnet.metrics.distributed import gather_rows
from linnet.metrics.recall import Relevance, recalls_at_k
from linnet.metrics.signals import effective_rank
from linnet.training.data import TrainingData
from linnet.training.device import Place
from linnet.training.hierarchy_figures import hierarchy_figures, hierarchy_floors
from linnet.training.protocols import protocol_figures, protocol_floors
from linnet.training.seen import seen_figures, seen_floors
from linnet.training.source import Source
from linnet.training.views import predict_views, view_batches

__all__ = ["Outputs", "floors", "measure", "predict", "roles"]


@dataclass(frozen=True)
class Outputs:
    """What a method says of n images, float32: embedding (n, D), logits (n, C), (n, F) or None.

    Logits are on the CPU; the embedding is where the net is, because a GPU counts neighbours in a fraction of the time.
    """

    embedding: Tensor
    coarse_logits: Tensor | None
    fine_logits: Tensor | None


@torch.inference_mode()
def predict(method: Method, source: Source, place: Place, batch_size: int, views: int = 1, size: int = 0) -> Outputs:
    """Run a method over a source without augmentation; every process gets all rows, in order.

    With 2 or 10 `views` the answers are averages over that many of each image, of `size` pixels (see `view_batches`).
    """
    method.eval()
    # A process without a row repeats the first one, so that all have the same answers to gather.
    mine = np.arange(min(place.rank, len(source) - 1), len(source), place.world)
    parts: list[list[Tensor]] = []
    present: list[bool] = []
    for seen in view_batches(source, batch_size, mine, views, size):
        with place.autocast():
            said = predict_views(method, seen)
        answers = (said.embedding, said.coarse_logits, said.fine_logits)
        present = [answer is not None for answer in answers]
        parts.append([answer.float() for answer in answers if answer is not None])
    numbers = torch.from_numpy(mine).to(place.device)
    together = gather_rows(numbers, *(torch.cat(pieces) for pieces in zip(*parts, strict=True)))
    embedding, *logits = together
    gathered = [tensor.cpu() for tensor in logits]
    coarse, fine = (gathered.pop(0) if there else None for there in present[1:])
    if not bool(torch.isfinite(embedding).all()):
        raise NonFiniteError(
            "the net's embeddings are not finite: training diverged in the last steps. Try a smaller lr or some warmup"
        )
    return Outputs(embedding, coarse, fine)


def roles(data: TrainingData) -> dict[str, int]:
    """Level numbers by the names that metrics begin with: "coarse", "fine" where it is another, else "level:NAME"."""
    named = {data.fine: "fine", data.coarse: "coarse"}
    levels = enumerate(data.manifest.taxonomy.levels)
    return {named.get(number, f"level:{name}"): number for number, name in levels}


def measure(data: TrainingData, rows: NDArray[np.int64], said: Outputs, ks: Sequence[int]) -> dict[str, float]:
    """All figures that the labels of `rows` allow, in percent but for those that `metrics.units` names.

    `coarse_top1`, `fine_top5` and so on where the method has a classifier; `coarse_recall@k`, `fine_recall@k`,
    `level:NAME_recall@k` leave-one-out; `fine_recall@k_within` with the gallery restricted to the query's own coarse
    class; `effective_rank`, a label-free signal (see `metrics.signals`). Where coarse and fine are one level, its
    figures are called coarse.

    Of a method that names fine classes also what `metrics.hierarchy` says: `mistake_severity` and
    `hierarchical_distance@k` in levels (lower is better), `coarse_top1_implied` by the fine class named,
    `level_consistency` where it names coarse classes too, and `fine_top1_nonsingleton`. Where it names coarse classes
    too, also what `training.protocols` says: `fine_top1_restricted` and so on. Where the recipe leaves some fine
    classes without labels, `fine_top1_seen`, `fine_top1_unseen` and `fine_top1_harmonic`.
    """
    targets = torch.from_numpy(data.manifest.targets[rows])
    logits = {"coarse": said.coarse_logits, "fine": said.fine_logits}
    figures: dict[str, float] = {}
    questions: dict[str, Relevance] = {}
    for role, level in roles(data).items():
        labels, scores = targets[:, level], logits.get(role)
        if not bool((labels >= 0).any()):
            continue
        if scores is not None:
            figures |= {f"{role}_top{k}": value for k, value in top_k(scores, labels).items()}
        questions[role] = Relevance(labels)
        if role == "fine":
            questions["within"] = Relevance(labels, targets[:, data.coarse])
    for name, recall in recalls_at_k(said.embedding, questions, ks).items():  # the similarities once for all
        role, end = ("fine", "_within") if name == "within" else (name, "")
        figures |= {f"{role}_recall@{k}{end}": value for k, value in recall.items()}
    if said.fine_logits is not None and data.coarse != data.fine:
        figures |= hierarchy_figures(
            data.manifest.taxonomy, data.coarse, data.fine, targets, said.fine_logits, said.coarse_logits
        )
        if data.seen is not None:
            figures |= seen_figures(said.fine_logits, targets[:, data.fine], data.seen)
        if said.coarse_logits is not None:
            figures |= protocol_figures(
                data.manifest.taxonomy, data.coarse, data.fine, targets, said.fine_logits, said.coarse_logits
            )
    coarse = targets[:, data.coarse]
    if bool((torch.bincount(coarse[coarse >= 0], minlength=1) > 1).any()):
        figures["effective_rank"] = effective_rank(said.embedding.cpu(), coarse)
    return figures


def floors(
    data: TrainingData, rows: NDArray[np.int64], ks: Sequence[int], said: Outputs | None = None
) -> dict[str, float]:
    """What chance scores for the metrics of `measure`, in their units, by the same names.

    `said` is what was measured: the floor of a fine class named under a coarse one depends on how often the latter is
    right. Without it a coarse class is guessed, too.
    """
    targets = data.manifest.targets[rows]
    found: dict[str, float] = {}
    for role, level in roles(data).items():
        labels = targets[:, level]
        if not (labels >= 0).any():
            continue
        if not role.startswith("level:"):
            guessed = top_k_chance(data.manifest.taxonomy.count(level))
            found |= {f"{role}_top{k}": value for k, value in guessed.items()}
        found |= {f"{role}_recall@{k}": value for k, value in recall_chance(labels, ks).items()}
        if role == "fine":
            within = recall_chance(labels, ks, within=targets[:, data.coarse])
            found |= {f"fine_recall@{k}_within": value for k, value in within.items()}
    if data.coarse != data.fine:
        if data.seen is not None:
            found |= seen_floors(torch.from_numpy(targets[:, data.fine]), data.seen)
        found |= hierarchy_floors(data.manifest.taxonomy, data.coarse, data.fine, targets)
        named = said.coarse_logits if said is not None and said.fine_logits is not None else None
        found |= protocol_floors(data.manifest.taxonomy, data.coarse, data.fine, torch.from_numpy(targets), named)
    return found
