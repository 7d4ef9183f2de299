"""What is clustered: embeddings of images with a coarse class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linnet.discover.geometry import Labels

__all__ = ["Subjects"]


@dataclass(frozen=True, eq=False)
class Subjects:
    """N images with their embeddings and classes; fields as in `Discovery`.

    Attributes:
        embedding: floating (N, D), finite.
        source: JSON content that says where images and embeddings come from.
    """

    embedding: NDArray[np.floating]
    images: Sequence[str]
    rows: Labels
    splits: Sequence[str]
    coarse_names: Sequence[str]
    coarse: Labels
    fine_names: Sequence[str] = ()
    fine: Labels = field(default_factory=lambda: np.empty(0, np.int64))
    source: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        embedding: NDArray[np.floating],
        coarse: Labels,
        *,
        images: Sequence[str] | None = None,
        fine: Labels | None = None,
    ) -> Subjects:
        """Of arrays alone: embeddings (N, D), coarse classes (N,), fine ones (N,) or None; classes get numbers as
        names, images too unless named.
        """
        count = len(embedding)
        known = np.full(count, -1, np.int64) if fine is None else np.asarray(fine, np.int64)
        coarse = np.asarray(coarse, np.int64)
        return cls(
            embedding,
            images or [str(row) for row in range(count)],
            np.arange(count),
            [""] * count,
            [str(c) for c in range(coarse.max(initial=-1) + 1)],
            coarse,
            [str(f) for f in range(known.max(initial=-1) + 1)],
            known,
        )

    def __post_init__(self) -> None:
        count = len(self.images)
        fine = self.fine if len(self.fine) else np.full(count, -1, np.int64)
        object.__setattr__(self, "fine", fine)
        if any(len(each) != count for each in (self.embedding, self.rows, self.splits, self.coarse, fine)):
            raise ValueError(f"{len(self.embedding)} embeddings, {len(self.coarse)} classes of {count} images")
        if len(set(self.images)) != count:
            raise ValueError("image names must differ")
