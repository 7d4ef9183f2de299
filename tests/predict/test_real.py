"""Predicting real birds, where LINNET_DATA names a folder of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from linnet.predict import Answered, Predictor
from linnet.predict.validation import calibrate
from linnet.training.api import train
from tests.training.tiny import tiny_recipe


def test_birds_are_named_as_evaluation_names_them(data_folder: Path, tmp_path: Path) -> None:
    """Files decoded one way, batches made another: the same share is right; calibration lowers the fine loss."""
    recipe = tiny_recipe(
        data="cub",
        root=str(data_folder),
        method="fine",
        image_size=32,
        augment="resized-crop",
        classes=["Albatross", "Bunting"],
        epochs=3,
        validation=0.4,
    )
    run = train(recipe, tmp_path / "run", progress=False)
    data = run.load()
    rows = data.rows["validation"]
    predictor = Predictor.open(run.folder, engine="torch")
    said = list(predictor.stream(data.manifest.path(row) for row in rows.tolist()))
    assert all(isinstance(each, Answered) for each in said)
    fine = data.manifest.taxonomy.classes[1]
    right = [
        isinstance(each, Answered) and each.levels[1].name == fine[target]
        for each, target in zip(said, data.manifest.targets[rows, 1], strict=True)
    ]
    expected = run.evaluate("validation").figures["fine_top1"]
    assert 100 * np.mean(right) == pytest.approx(expected, abs=200 / len(rows)), "but for two ties"
    calibration = calibrate(predictor, run).calibration
    assert calibration is not None
    level = calibration.levels[1]
    assert level.images == len(rows) and level.loss is not None and level.loss_before is not None
    assert level.loss < level.loss_before + 1e-9
