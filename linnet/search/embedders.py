"""What turns images into vectors, with what ties an index to it: a run's bundle, or a bare timm model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from linnet.engines import Engine, open_engine
from linnet.errors import NonFiniteError
from linnet.explain.scores import Levels
from linnet.images import Preprocessing
from linnet.images.augment import normalise
from linnet.metrics.unit_vectors import unit_rows
from linnet.training.bundle import Bundle
from linnet.training.run import Run

__all__ = ["BATCH", "Embedder", "bundle_embedder"]

BATCH = 32
"""Images that the net sees at once."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Embedder:
    """Squares to unit vectors and coarse classes.

    Attributes:
        identity: JSON content that says which net made a vector; vectors of two identities are not compared.
        told: more to tell of it, which ties nothing: the run's folder, the engine that was asked for.
        preprocessing: how an image becomes a square.
        dim: D.
        engine: runs the net.
        levels: the classes; None of a net without any.
    """

    identity: dict[str, Any]
    told: dict[str, Any]
    preprocessing: Preprocessing
    dim: int
    engine: Engine
    levels: Levels | None = None

    @property
    def coarse_level(self) -> str | None:
        """Name of the level that it predicts classes of, None without."""
        return None if self.levels is None else self.levels.taxonomy.levels[self.levels.coarse]

    @property
    def coarse_classes(self) -> tuple[str, ...]:
        """The classes of that level."""
        return () if self.levels is None else self.levels.taxonomy.classes[self.levels.coarse]

    def __call__(self, squares: Pixels) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Unit vectors float32 (B, D) and predicted coarse classes int64 (B,), -1 without, of uint8 (B, S, S, 3).

        Raises:
            NonFiniteError: the net's answer is not finite.
        """
        said = self.engine(self.normalised(squares))
        try:
            vectors = unit_rows(said.embedding.float(), "embedding").exact.numpy()
        except ValueError as error:
            raise NonFiniteError(f"the net's embeddings are not finite ({error}); train it again") from None
        coarse = np.full(len(vectors), -1, np.int64)
        if self.levels is not None:
            scores = self.levels.scores(said).get(self.levels.coarse)
            if scores is not None:
                coarse = scores.argmax(1).numpy().astype(np.int64)
        return vectors, coarse

    def normalised(self, squares: Pixels) -> Tensor:
        """Squares uint8 (B, S, S, 3) as the engine takes them."""
        return normalise(torch.from_numpy(squares).permute(0, 3, 1, 2), self.preprocessing)


def bundle_embedder(
    of: Run | Bundle,
    engine: str = "auto",
    *,
    calibration: Tensor | None = None,
    labels: Tensor | None = None,
    threads: int | None = None,
) -> Embedder:
    """The embedder of a run or a bundle; `engine`, `calibration` and `labels` as `linnet.engines.open_engine` has it.

    Raises:
        LinnetError: the run is not finished, or the engine cannot be used.
    """
    bundle = of.bundle if isinstance(of, Run) else of
    identity: dict[str, Any] = {
        "kind": "bundle",
        "sha256": bundle.card["weights_sha256"],
        "preprocessing": bundle.preprocessing.to_json(),
    }
    told: dict[str, Any] = {"method": bundle.card["method"], "backbone": bundle.card["backbone"], "asked": engine}
    if isinstance(of, Run):
        identity["members"] = of.members
        told["run"] = str(Path(of.folder).absolute())
    opened = open_engine(bundle, engine, calibration=calibration, labels=labels, threads=threads)
    levels = Levels.of(bundle)
    blank = np.zeros((1, bundle.preprocessing.size, bundle.preprocessing.size, 3), np.uint8)
    probe = Embedder(identity, told, bundle.preprocessing, bundle.method.embedding_dim, opened, levels)
    said = opened(probe.normalised(blank)[:0])
    named = said.coarse_logits is not None or said.fine_logits is not None
    return Embedder(
        identity,
        told,
        bundle.preprocessing,
        int(said.embedding.shape[1]),
        opened,
        levels if named else None,
    )
