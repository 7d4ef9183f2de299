"""`Predictor`: a run's bundle with an engine and its calibration, asked about images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from linnet.engines import Engine, open_engine
from linnet.engines.base import outputs_of
from linnet.errors import ImageError, RunError
from linnet.explain.scores import Levels
from linnet.images.augment import normalise
from linnet.images.broken import summary
from linnet.images.check import cores
from linnet.methods.base import Prediction
from linnet.predict.answers import Answered, Failed, answer
from linnet.predict.calibration import FILE, Calibration, read_calibration
from linnet.predict.decoding import Image, square, squares_ahead
from linnet.predict.tree import Tree
from linnet.training.bundle import Bundle, open_bundle

__all__ = ["BATCH", "Predictor"]

BATCH = 32
"""Images that the net sees at once."""


@dataclass
class Predictor:
    """Answers about images: `Predictor.open(run)`, then `predictor(images)`.

    Attributes:
        bundle: weights, classes and preprocessing.
        engine: what runs the method, see `linnet.engines`.
        calibration: temperatures of the levels; None leaves probabilities as the net gives them.
        top: how many classes an answer lists at each level.
        folder: the run's, None of a bundle alone.
    """

    bundle: Bundle
    engine: Engine
    calibration: Calibration | None = None
    top: int = 5
    folder: Path | None = None

    @classmethod
    def open(
        cls, run: Path | str | Bundle, *, engine: str = "auto", top: int = 5, sample: Sequence[Image] = ()
    ) -> Predictor:
        """A finished run's folder, a bundle's folder, or a bundle; calibrated where the run has a calibration.

        `linnet predict` and `calibrate` make one; this does not, as it takes the run's data.

        Args:
            engine: as `linnet.engines.open_engine` takes it.
            top: how many classes an answer lists at each level.
            sample: images such as will be asked about; int8 finds its ranges on them. Broken ones are passed over.

        Raises:
            RunError: no bundle there, it or the calibration is damaged, or the engine cannot be used.
            RecipeError: no such engine.
        """
        if isinstance(run, Bundle):
            return cls(run, _engine(run, engine, sample), None, top)
        folder = Path(run)
        inner = folder / "bundle"
        if not (inner / "bundle.json").exists() and not (folder / "bundle.json").exists():
            unfinished = (folder / "recipe.json").exists()
            remedy = f"training has not finished; go on with: linnet train --resume --out {folder}"
            raise RunError(f"{folder}: {remedy if unfinished else 'no run folder and no bundle'}")
        bundle = open_bundle(inner if (inner / "bundle.json").exists() else folder)
        calibration = read_calibration(folder / FILE, bundle.card["weights_sha256"])
        return cls(bundle, _engine(bundle, engine, sample), calibration, top, folder)

    @cached_property
    def named(self) -> tuple[str, ...]:
        """The levels that the method names classes of, coarsest first."""
        said = outputs_of(self.bundle.method, self.bundle.preprocessing.size)
        found = [self.bundle.coarse] if "coarse_logits" in said else []
        finest = self.bundle.fine if "fine_logits" in said else max(found, default=-1)
        return self.bundle.taxonomy.levels[: finest + 1]

    @property
    def tree(self) -> Tree:
        """How probabilities run down the classes."""
        return Tree(Levels.of(self.bundle))

    def __call__(self, images: Sequence[Image]) -> list[Answered]:
        """Answers about files or pixels uint8 (H, W, 3), in order.

        Raises:
            ImageError: images that cannot be decoded; names every one.
        """
        found = list(self.stream(images))
        broken = [
            f"{image if isinstance(image, Path) else f'image {number}'}: {each.reason}"
            for number, (image, each) in enumerate(zip(images, found, strict=True))
            if isinstance(each, Failed)
        ]
        if broken:
            raise ImageError(
                f"{summary('photos', broken, len(found))}\nMend or replace these files, or leave them out."
            )
        return [each for each in found if isinstance(each, Answered)]

    def stream(
        self, images: Iterable[Image], *, batch_size: int = BATCH, workers: int = 0
    ) -> Iterator[Answered | Failed]:
        """An answer for each image as they come, in order; a broken image gives a `Failed` in its place.

        A batch is decoded ahead, by `workers` threads (0: one a core); memory does not grow with their number.
        """
        for batch in squares_ahead(images, self.bundle.preprocessing, batch_size, workers or cores()):
            whole = [each for each in batch if not isinstance(each, Failed)]
            answers = iter(self._answers(np.stack(whole)) if whole else [])
            yield from (each if isinstance(each, Failed) else next(answers) for each in batch)

    def said(self, pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> Prediction:
        """What the method says of squares uint8 (B, S, S, 3), float32 on the CPU."""
        return self.engine(normalise(torch.from_numpy(pixels).permute(0, 3, 1, 2), self.bundle.preprocessing))

    def probabilities(self, said: Prediction) -> list[Tensor]:
        """Probabilities float64 (B, classes) of every level that the method names, coarsest first."""
        scores = self.tree.scores(said)
        temperatures = self.calibration.temperatures if self.calibration else [1.0] * len(scores)
        return self.tree.probabilities(scores, temperatures)

    @property
    def calibrated(self) -> list[bool]:
        """Which levels are calibrated; none is listed without a calibration."""
        return [each.calibrated for each in self.calibration.levels] if self.calibration else []

    def _answers(self, pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> list[Answered]:
        said = self.said(pixels)
        chances = self.probabilities(said)
        calibrated = (
            [each.calibrated for each in self.calibration.levels] if self.calibration else [False] * len(chances)
        )
        vectors, taxonomy = said.embedding.float().numpy(), self.bundle.taxonomy
        return [
            Answered(vectors[row], answer(taxonomy, chances, calibrated, row, self.top)) for row in range(len(vectors))
        ]


def _engine(bundle: Bundle, name: str, sample: Sequence[Image]) -> Engine:
    seen = [square(each, bundle.preprocessing) for each in sample]
    whole = [each for each in seen if not isinstance(each, Failed)]
    if not whole:
        return open_engine(bundle, name)
    images = normalise(torch.from_numpy(np.stack(whole)).permute(0, 3, 1, 2), bundle.preprocessing)
    return open_engine(bundle, name, calibration=images)
