"""Calibrating a run: its validation images looked at once, the way images of the user's are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from linnet.errors import ImageError, RunError
from linnet.images.check import cores
from linnet.methods.base import Need
from linnet.predict.answers import Failed
from linnet.predict.calibration import FILE, fit
from linnet.predict.decoding import Image, squares_ahead
from linnet.predict.predictor import BATCH, Predictor
from linnet.training.data import TrainingData
from linnet.training.run import Run

__all__ = ["calibrate"]

_FINE = {Need.SOME_FINE, Need.ALL_FINE, Need.ANY_LEVEL, Need.TEACHER}


def calibrate(predictor: Predictor, run: Run) -> Predictor:
    """The predictor with temperatures fitted on the run's validation split, and kept in RUN/calibration.json.

    The test split has no part in it. The images are seen in one view, by the predictor's own engine.

    Raises:
        RunError: the run's data is gone or has changed, has no validation images, or the method names no classes.
        LinnetError: the data cannot be read.
    """
    data = run.load()
    rows = data.rows.get("validation", np.empty(0, np.int64))
    if not len(rows):
        raise RunError(f"{run.folder}: its data has no validation images to calibrate on")
    parts: list[list[Tensor]] = []
    preprocessing = predictor.bundle.preprocessing
    for batch in squares_ahead(_images(data, rows.tolist()), preprocessing, BATCH, cores()):
        failed = [each.reason for each in batch if isinstance(each, Failed)]
        if failed:
            raise ImageError(f"{data.manifest.source}: a validation image cannot be decoded: {failed[0]}")
        said = predictor.said(np.stack([each for each in batch if not isinstance(each, Failed)]))
        parts.append(predictor.tree.scores(said))
    scores = [torch.cat(each) for each in zip(*parts, strict=True)]
    if not scores:
        raise RunError(f"{run.folder}: method {run.recipe.method!r} names no classes, so there is nothing to calibrate")
    needs = predictor.bundle.method.needs
    trained = predictor.bundle.fine if needs & _FINE else predictor.bundle.coarse
    targets = torch.from_numpy(data.manifest.targets[rows])
    found = fit(predictor.tree, scores, targets, predictor.bundle.card["weights_sha256"], trained)
    found.save(run.folder / FILE)
    return replace(predictor, calibration=found)


def _images(data: TrainingData, rows: list[int]) -> Iterator[Image]:
    pixels = data.manifest.pixels
    return (data.manifest.path(row) if pixels is None else pixels[row] for row in rows)
