"""One look at a bounded number of a run's images: embeddings, classes named, nearest neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from linnet.metrics.neighbours import nearest
from linnet.randomness import permutation
from linnet.report.series import Measured
from linnet.report.words import cited
from linnet.training.data import TrainingData
from linnet.training.evaluate import Outputs

__all__ = ["NEIGHBOURS", "Probe", "class_names", "image_name", "images_of", "probe", "sample_rows"]

NEIGHBOURS = 8

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Probe:
    """What a run says of n images of its split.

    Attributes:
        measured: the run.
        rows: rows of its manifest (n,), ascending.
        whole: whether these are all images of the split.
        said: embeddings and logits.
        similarity, neighbours: cosines float64 (n, k) and positions int64 (n, k) of the nearest others, -1 none.
    """

    measured: Measured
    rows: Rows
    whole: bool
    said: Outputs
    similarity: NDArray[np.float64]
    neighbours: Rows

    @property
    def data(self) -> TrainingData:
        """The run's data."""
        return self.measured.data

    @cached_property
    def coarse(self) -> Rows:
        """True coarse classes (n,), -1 unknown."""
        return np.asarray(self.data.manifest.targets[self.rows, self.data.coarse])

    @cached_property
    def fine(self) -> Rows:
        """True fine classes (n,), -1 unknown."""
        return np.asarray(self.data.manifest.targets[self.rows, self.data.fine])

    @property
    def names_fine(self) -> bool:
        """Whether the method names fine classes itself."""
        return self.said.fine_logits is not None and self.data.fine != self.data.coarse

    def named(self, fine: bool) -> tuple[Rows, NDArray[np.float32]] | None:
        """The likeliest class of each image at the fine or coarse level, (n,), and its probability by the method.

        None where the method has no logits of that level; the level that coarse and fine share counts as coarse.
        """
        logits = self.said.fine_logits if fine else self.said.coarse_logits
        if logits is None or (fine and not self.names_fine):
            return None
        likely: Tensor = torch.softmax(logits.float(), 1)
        best = likely.max(1)
        return best.indices.numpy().astype(np.int64), best.values.numpy().astype(np.float32)

    def taken_for(self, fine: bool) -> Rows:
        """The class of each image by the method where it names classes of that level, else by its nearest image.

        -1 where the nearest image has no label of the level, or there is none.
        """
        if (named := self.named(fine)) is not None:
            return named[0]
        labels = self.fine if fine else self.coarse
        first = self.neighbours[:, 0]
        return np.where(first >= 0, labels[first], -1)


def sample_rows(rows: Rows, most: int) -> Rows:
    """Up to `most` of the rows, drawn by a fixed key, ascending."""
    return np.sort(rows[permutation(len(rows), 0, "report")[:most]])


def probe(measured: Measured, most: int) -> Probe:
    """Embed up to `most` images of the split that is reported, and find each one's nearest among them."""
    every = measured.data.rows[measured.evaluation.split]
    rows = sample_rows(every, most)
    said = measured.run.outputs(rows)
    similarity, neighbours = nearest(said.embedding, None, NEIGHBOURS, exclude_self=True)
    return Probe(measured, rows, len(rows) == len(every), said, similarity.cpu().numpy(), neighbours.cpu().numpy())


def images_of(data: TrainingData, rows: Sequence[int] | Rows) -> list[Path | NDArray[np.uint8]]:
    """The files of rows, or their pixels where the data comes as arrays."""
    pixels = data.manifest.pixels
    return [data.manifest.path(int(row)) if pixels is None else pixels[int(row)] for row in rows]


def image_name(data: TrainingData, row: int) -> str:
    """A file's name; of data that comes as arrays its row."""
    return f"image {row}" if data.manifest.pixels is not None else data.manifest.path(row).name


def class_names(data: TrainingData, level: int) -> list[str]:
    """The classes of a level as a reader writes them, very long names cut."""
    return [cited(name) for name in data.manifest.taxonomy.classes[level]]
