"""`Predictor`: answers in order, the same as the method's own, calibrated where the run was; broken images named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from linnet import files
from linnet.errors import ImageError, RunError
from linnet.predict import Answered, Failed, Predictor
from linnet.predict.calibration import FILE
from linnet.predict.validation import calibrate
from linnet.training.api import train
from linnet.training.run import Run
from tests.training.tiny import tiny_manifest, tiny_recipe


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("runs") / "fine"
    return train(tiny_recipe(method="fine", epochs=2), folder, tiny_manifest(), progress=False)


@pytest.fixture(scope="module")
def coarse(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("runs") / "coins"
    return train(tiny_recipe(method="coins", epochs=1), folder, tiny_manifest(), progress=False)


def pictures(count: int) -> list[np.ndarray]:
    pixels = tiny_manifest().pixels
    assert pixels is not None
    return [pixels[number] for number in range(0, 4 * count, 4)]


def test_uncalibrated_it_says_what_the_method_says(run: Run) -> None:
    predictor = Predictor.open(run.bundle, engine="torch")
    images = pictures(5)
    answers = predictor(images)
    said = predictor.said(np.stack(images))
    assert said.fine_logits is not None and said.coarse_logits is not None
    fine, coarse = (torch.softmax(each, 1).max(1) for each in (said.fine_logits, said.coarse_logits))
    taxonomy = run.bundle.taxonomy
    for row, each in enumerate(answers):
        assert [level.level for level in each.levels] == list(taxonomy.levels)
        assert each.levels[1].name == taxonomy.classes[1][fine.indices[row]]
        assert each.levels[1].probability == pytest.approx(float(fine.values[row]), abs=1e-5)
        assert each.levels[0].probability == pytest.approx(float(coarse.values[row]), abs=1e-5)
        assert each.levels[0].top[0] == (each.levels[0].name, each.levels[0].probability)
        assert len(each.levels[1].top) == 5 and not each.levels[1].calibrated
        np.testing.assert_allclose(each.embedding, said.embedding[row].numpy(), atol=1e-5)


def test_files_and_pixels_say_the_same_and_order_is_kept(run: Run, tmp_path: Path) -> None:
    images = pictures(70)
    for number, each in enumerate(images):
        Image.fromarray(each).save(tmp_path / f"{number:02}.png")
    predictor = Predictor.open(run.folder, engine="torch")
    of_files = predictor(sorted(tmp_path.iterdir()))
    of_pixels = list(predictor.stream(iter(images), batch_size=9, workers=3))
    for one, other in zip(of_files, of_pixels, strict=True):
        assert isinstance(other, Answered)
        np.testing.assert_allclose(one.embedding, other.embedding, atol=1e-5)
        assert [each.name for each in one.levels] == [each.name for each in other.levels]


def test_a_broken_image_keeps_its_place(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").write_bytes(b"")
    predictor = Predictor.open(run.folder, engine="torch")
    given = [*pictures(2), tmp_path / "empty.jpg", np.zeros((4, 4), np.uint8), pictures(1)[0]]
    found = list(predictor.stream(given))
    assert [isinstance(each, Failed) for each in found] == [False, False, True, True, False]
    assert isinstance(found[0], Answered) and isinstance(found[4], Answered)
    np.testing.assert_allclose(found[0].embedding, found[4].embedding, atol=1e-5)
    with pytest.raises(ImageError, match=r"2 of 5 images .*\n.*empty.jpg: the file is empty.*\n.*image 3: pixels are"):
        predictor(given)
    assert predictor([]) == []


def test_calibrating_lowers_the_loss_and_is_found_again(run: Run) -> None:
    predictor = calibrate(Predictor.open(run.folder, engine="torch"), run)
    assert predictor.calibration is not None
    for level in predictor.calibration.levels:
        assert level.calibrated and level.images == 36
        assert level.loss is not None and level.loss_before is not None
    again = Predictor.open(run.folder, engine="torch")
    assert again.calibration is not None and again.calibration.levels == predictor.calibration.levels
    answers = again(pictures(3))
    assert all(level.calibrated for each in answers for level in each.levels)
    content = files.read_json(run.folder / FILE)
    files.write_json(run.folder / FILE, {**content, "weights_sha256": "0" * 64})
    assert Predictor.open(run.folder, engine="torch").calibration is None, "temperatures of other weights are not used"
    files.write_json(run.folder / FILE, {**content, "levels": [{"level": "fine"}]})
    with pytest.raises(RunError, match="damaged"):
        Predictor.open(run.folder, engine="torch")
    files.remove(run.folder / FILE)


def test_a_coarse_run_answers_at_its_level_alone(coarse: Run) -> None:
    predictor = calibrate(Predictor.open(coarse.folder, engine="torch"), coarse)
    (answer,) = predictor(pictures(1))
    assert [each.level for each in answer.levels] == ["coarse"]
    assert answer.backoff(0.0) == answer.levels[0]
    assert answer.backoff(1.1) is None


def test_a_method_without_classes(tmp_path: Path) -> None:
    run = train(tiny_recipe(method="instance", epochs=1), tmp_path / "run", tiny_manifest(), progress=False)
    predictor = Predictor.open(run.folder, engine="torch")
    (answer,) = predictor(pictures(1))
    assert answer.levels == () and answer.backoff(0.0) is None
    assert answer.embedding.shape == (run.bundle.method.embedding_dim,)
    with pytest.raises(RunError, match="names no classes"):
        calibrate(predictor, run)


def test_no_run_at_all(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run folder and no bundle"):
        Predictor.open(tmp_path)
