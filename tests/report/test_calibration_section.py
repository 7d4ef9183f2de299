"""Calibration in the report: the file's own figures, and others on images that nothing was fitted on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from linnet import files
from linnet.errors import RunError
from linnet.predict.calibration import FILE, read_calibration
from linnet.predict.predictor import Predictor
from linnet.predict.temperature import expected_calibration_error
from linnet.predict.validation import calibrate
from linnet.randomness import generator
from linnet.report.calibration_section import calibrated, reliability, selective_risk
from linnet.report.probe import Probe, probe
from linnet.report.report_page import report_page
from linnet.report.series import Measured
from linnet.training.api import train
from linnet.training.run import Run
from tests.report.reader import assert_whole, read_page
from tests.training.tiny import tiny_manifest, tiny_recipe


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    recipe = tiny_recipe(method="any-level", epochs=3)
    made = train(recipe, tmp_path_factory.mktemp("run") / "birds", tiny_manifest(), progress=False)
    calibrate(Predictor.open(made.folder, engine="torch"), made)
    return made


def probed(run: Run, split: str = "test") -> Probe:
    return probe(Measured(run, "birds", run.load(), run.evaluate(split)), 1000)


def test_bins_and_risk_as_counted_by_hand() -> None:
    draw = generator(0, "signals")
    probability = draw.integers(0, 21, 500) / 20  # with ties, and the ends of bins
    right = draw.random(500) < probability
    drawn = reliability(probability, right, least=5)
    for mean, share in drawn:
        place = min(14, int(mean / 100 * 15))
        inside = [k for k in range(500) if min(14, int(probability[k] * 15)) == place]
        assert len(inside) >= 5
        assert mean == pytest.approx(100 * np.mean(probability[inside]))
        assert share == pytest.approx(100 * np.mean(right[inside]))
    assert len(drawn) > 8 and reliability(probability, right, least=501) == []
    risks = selective_risk(probability, right)
    for answered, wrong in risks:
        count = round(answered * 5)
        least = np.sort(probability)[::-1][count - 1]
        assert count == int((probability >= least).sum()), "images of one probability go together"
        assert wrong == pytest.approx(100 * np.mean(~right[probability >= least]))
    assert risks[-1] == (100.0, pytest.approx(100 * np.mean(~right)))
    assert selective_risk(probability[:0], right[:0]) == []


def test_held_images_are_judged_as_predict_answers_them(run: Run) -> None:
    found = calibrated(probed(run))
    assert found is not None and found.held == "test" and found.held_images == 96
    kept = read_calibration(run.folder / FILE, run.bundle.card["weights_sha256"])
    assert kept is not None and tuple(level.fit for level in found.levels) == kept.levels
    data = run.load()
    rows = data.rows["test"]
    assert data.manifest.pixels is not None
    for temperatures, place in ((False, 1), (True, 2)):
        predictor = Predictor.open(run.folder, engine="torch", top=1)
        predictor.calibration = predictor.calibration if temperatures else None
        answers = predictor([np.asarray(data.manifest.pixels[row]) for row in rows])
        for number, level in enumerate(found.levels):
            said = [each.levels[number] for each in answers]
            names = data.manifest.taxonomy.classes[number]
            truth = [names[label] for label in data.manifest.targets[rows, number]]
            right = torch.tensor([each.name == true for each, true in zip(said, truth, strict=True)])
            error = expected_calibration_error(torch.tensor([each.probability for each in said]), right)
            assert level.held is not None and level.held[0] == 96
            assert level.held[place] == pytest.approx(error, abs=1e-3)
    thresholds = [one.least for one, _ in found.backing]
    assert thresholds == sorted(thresholds) and all(other is not None for _, other in found.backing)


def test_on_the_split_of_the_fit_nothing_is_held_and_the_page_says_so(run: Run, tmp_path: Path) -> None:
    found = calibrated(probed(run, "validation"))
    assert found is not None and found.held == "" and all(level.held is None for level in found.levels)
    report_page([run], tmp_path / "page.html", split="validation")
    page = read_page(tmp_path / "page.html")
    assert_whole(page)
    text = " ".join(page.text.split())
    told = "none of which was learned from, but these images chose the epoch, which flatters the figures"
    count = len(run.load().rows["validation"])
    assert f"{count} validation images, {told}:" in text and f"{count} validation images, {told}; as" in text
    assert "this page is of the split that it was fitted on" in text
    report_page([run], tmp_path / "page.html")
    text = " ".join((tmp_path / "page.html").read_text().split())
    assert "96 test images, which had no part in training or in the choice of the epoch:" in text
    assert "on which nothing was fitted: go by those" in text and "which also chose the epoch" in text


def test_no_calibration_no_section(run: Run, tmp_path: Path) -> None:
    plain = train(tiny_recipe(epochs=1), tmp_path / "plain", tiny_manifest(), progress=False)
    seen = probed(plain)
    assert calibrated(seen) is None
    content = files.read_json(run.folder / FILE)
    files.write_json(plain.folder / FILE, content)
    assert calibrated(seen) is None, "it belongs to other weights"
    card = plain.bundle.card["weights_sha256"]
    files.write_json(plain.folder / FILE, content | {"weights_sha256": card, "levels": [{"level": "coarse"}]})
    with pytest.raises(RunError, match="damaged"):
        calibrated(seen)
