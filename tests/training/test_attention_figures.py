"""The overlap of an ensemble's members in its evaluation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from linnet.images.augment import normalise
from linnet.metrics.attention import attention_overlap, other_images
from linnet.training.api import train
from linnet.training.attention_figures import attention_figures
from tests.training.tiny import tiny_manifest, tiny_recipe


def test_an_ensemble_is_told_how_far_its_members_look_at_the_same_places(tmp_path: Path) -> None:
    """As from the maps themselves, over all test images; not of the first member alone."""
    recipe = tiny_recipe(method="orthogonal-ensemble", epochs=1, options={"members": 2})
    run = train(recipe, tmp_path / "run", tiny_manifest(), progress=False)
    found = run.evaluate("test", tiny_manifest())
    data = run.load()
    pixels = torch.from_numpy(tiny_manifest().pixels[data.rows["test"]]).permute(0, 3, 1, 2)  # type: ignore[index]
    with torch.no_grad():
        maps = run.bundle.method.attention(normalise(pixels, run.bundle.preprocessing))
    stacked = torch.stack([maps["member 1"], maps["member 2"]]).flatten(2)
    assert found.figures["attention_overlap"] == pytest.approx(attention_overlap(stacked), abs=0.5)
    partners = other_images(len(pixels), recipe.seed)
    assert found.floors["attention_overlap"] == pytest.approx(attention_overlap(stacked, partners), abs=0.5)
    assert -1 <= found.figures["attention_correlation"] <= 1
    run.members, run.__dict__["bundle"] = 1, type(run).open(run.folder, 1).bundle
    assert "attention_overlap" not in run.evaluate("test").figures


def test_one_image_has_no_other_to_be_held_against() -> None:
    maps = torch.from_numpy(np.arange(20.0).reshape(2, 1, 10))
    figures, floors = attention_figures(maps, 0)
    assert figures["attention_overlap"] == 100 and floors == {}
