"""The roads of a run: one pass over the files before training, and a cache that runs share."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from linnet.errors import ImageError
from linnet.images import check_images
from linnet.images.decode import open_image
from linnet.training.api import train
from linnet.training.device import find_place
from linnet.training.run import Run
from linnet.training.source import open_source
from tests.training.tiny import tiny_recipe


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of two coarse and four fine classes, 28 x 22 pixels, and a cache folder of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    rng = np.random.default_rng(0)
    for split, count in (("train", 6), ("test", 2)):
        for number in range(4):
            folder = tmp_path / "photos" / split / f"coarse{number % 2}" / f"fine{number}"
            folder.mkdir(parents=True)
            for image in range(count):
                pixels = rng.integers(0, 200, (4, 4, 3), dtype=np.uint8) + np.uint8(12 * number)
                Image.fromarray(pixels).resize((28, 22)).save(folder / f"{image}.jpg")
    return tmp_path / "photos"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Files that the pass before training opened to decode."""
    paths: list[str] = []

    def noting(path: str) -> object:
        paths.append(path)
        return open_image(path)

    monkeypatch.setitem(check_images.__globals__, "open_image", noting)
    return paths


def cached(photos: Path, out: Path, **settings: object) -> Run:
    recipe = tiny_recipe(
        data=str(photos), augment="resized-crop", resize=18, batch_size=8, road="cache", workers=0, **settings
    )
    return train(recipe, out, progress=False)


def test_one_pass_decodes_for_all_splits_and_all_runs(photos: Path, tmp_path: Path, decoded: list[str]) -> None:
    first = cached(photos, tmp_path / "a")
    assert len(decoded) == len(set(decoded)) == 32
    figures = first.evaluate("test").figures
    second = cached(photos, tmp_path / "b")
    assert len(decoded) == 32
    assert second.evaluate("test").figures == figures
    states = [run.bundle.method.state_dict() for run in (first, second)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_without_resize_crops_have_a_larger_working_image(photos: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(data=str(photos), augment="resized-crop", batch_size=8, road="cache", workers=0)
    train(recipe, tmp_path / "run", progress=False).evaluate("test")
    kept = {path.name.split("-")[1] for path in (tmp_path / "home/linnet/images").iterdir()}
    assert kept == {"16px", "19px"}


def test_what_the_recipe_says_becomes_of_training_images_alone(photos: Path, tmp_path: Path) -> None:
    """Every setting of the augmentation arrives, and none at what is measured."""
    settings = {"augment": "crop", "padding": 3, "flip": False, "color_jitter": 0.3, "grayscale": 0.1}
    run = cached(photos, tmp_path / "run", epochs=1)
    recipe, data = run.recipe.change(road="files", **settings), run.load()
    given = [run.bundle.preprocessing, recipe, find_place(recipe)]
    for augmented in (True, False):
        source = open_source(data, data.rows["train"], *given, augmented=augmented)
        found = source.augmentation.to_json()
        wanted = {"kind": "crop", **settings} if augmented else {"kind": "none", "color_jitter": 0, "grayscale": 0}
        assert {key: found[key] for key in wanted if key != "augment"} == {
            key: value for key, value in wanted.items() if key != "augment"
        }


def test_broken_images_of_all_splits_are_named_before_training(photos: Path, tmp_path: Path) -> None:
    for split in ("train", "test"):
        (photos / split / "coarse0" / "fine0" / "1.jpg").write_bytes(b"")
    with pytest.raises(ImageError, match="2 of 32 images") as caught:
        cached(photos, tmp_path / "run")
    assert "train/coarse0" in str(caught.value) and "test/coarse0" in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_another_road_on_resume_is_told(photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = cached(photos, tmp_path / "run", epochs=1)
    caplog.set_level(logging.WARNING)
    caplog.clear()
    train(run.recipe, tmp_path / "run", resume=True, progress=False)
    assert "resumed under another" not in caplog.text
    train(run.recipe.change(road="files"), tmp_path / "run", resume=True, progress=False)
    assert "resumed under another road" in caplog.text
