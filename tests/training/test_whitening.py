"""Whitening as a setting: fitted once, kept by checkpoints and bundle, refused where it cannot be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from linnet import files
from linnet.backbones.whitening import Whitened
from linnet.errors import RecipeError
from linnet.training import api
from linnet.training.api import train
from linnet.training.bundle import open_bundle
from linnet.training.data import prepare
from tests.training.tiny import tiny_manifest, tiny_recipe


def whitening_of(folder: Path) -> Whitened:
    bundle = open_bundle(folder / "bundle")
    assert isinstance(bundle.method.backbone, Whitened)
    assert bundle.preprocessing.mean == (0.0, 0.0, 0.0) and bundle.preprocessing.std == (1.0, 1.0, 1.0)
    return bundle.method.backbone


def training_pixels() -> Tensor:
    """The training images of the tiny recipe in 0..1, (N, 3, 16, 16)."""
    manifest = tiny_manifest()
    rows = prepare(tiny_recipe(), manifest).rows["train"]
    assert manifest.pixels is not None
    return torch.from_numpy(np.ascontiguousarray(manifest.pixels[rows])).permute(0, 3, 1, 2).float() / 255


def test_a_run_fits_the_training_images_and_its_bundle_keeps_the_fit(tmp_path: Path) -> None:
    run = train(tiny_recipe(whitening="zca", epochs=1), tmp_path / "run", tiny_manifest(), progress=False)
    kept = whitening_of(tmp_path / "run")
    white = kept.whiten(training_pixels()).flatten(1)
    assert white.mean(0).abs().max().item() < 1e-3
    # 156 images span 155 of 768 directions; in most of those the variance is nearly 1.
    spread = torch.linalg.svdvals(white.double()).square() / len(white)
    assert len(white) == 156
    assert spread[:100].min().item() > 0.8 and spread.max().item() < 1.0
    logged = run.evaluate("validation").figures["coarse_top1"]
    assert logged == pytest.approx(run.summary["best"])


def test_contrast_alone_has_nothing_to_fit(tmp_path: Path) -> None:
    train(tiny_recipe(whitening="gcn", epochs=1), tmp_path / "run", tiny_manifest(), progress=False)
    assert whitening_of(tmp_path / "run").kind == "gcn"


def test_a_resumed_run_takes_the_fit_from_its_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without fitting again, it ends with the bits of an unbroken run; broken before a checkpoint it fits anew."""
    monkeypatch.setattr("linnet.training.loop.EPOCH_SECONDS", 0.0)
    recipe = tiny_recipe(whitening="zca", epochs=2)
    train(recipe, tmp_path / "whole", tiny_manifest(), progress=False)
    steps, fits, step, fit = [0], [0], api.Loop._step, Whitened.fit

    def broken(*given: object) -> None:
        steps[0] += 1
        if steps[0] in (1, 8):  # before the first checkpoint, and in the second epoch of 4 steps
            raise KeyboardInterrupt
        step(*given)  # type: ignore[arg-type]

    def counted(*given: object) -> None:
        fits[0] += 1
        fit(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(api.Loop, "_step", broken)
    monkeypatch.setattr(Whitened, "fit", counted)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            train(recipe, tmp_path / "run", tiny_manifest(), resume=True, progress=False)
    train(recipe, tmp_path / "run", tiny_manifest(), resume=True, progress=False)
    assert fits == [2]
    weights = "bundle/weights.safetensors"
    assert files.digest(tmp_path / "run" / weights) == files.digest(tmp_path / "whole" / weights)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"whitening": "zca", "image_size": 96}, r"up to 64 pixels: at image_size = 96 its map would take 3.1 GB"),
        ({"whitening": "gcn", "mean": [0.5] * 3, "std": [0.5] * 3}, "both set the colours: give one"),
        ({"whitening": "pca"}, "one of 'none', 'gcn', 'zca'"),
    ],
)
def test_settings_that_do_not_go_together(settings: dict[str, object], text: str) -> None:
    with pytest.raises(RecipeError, match=text):
        tiny_recipe(**settings)
