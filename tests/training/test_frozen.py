"""Frozen backbones: the maps are the net's, whenever they are computed, and methods learn from them as from images."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from linnet import files
from linnet.backbones import Backbone, build_backbone
from linnet.datasets import load_data
from linnet.errors import NonFiniteError, RecipeError
from linnet.images import Augmentation, ImageSource, Preprocessing
from linnet.methods.base import Method
from linnet.randomness import seeded
from linnet.recipes import Recipe
from linnet.training import api
from linnet.training.api import train
from linnet.training.checkpoint import Checkpoints
from linnet.training.data import TrainingData, prepare
from linnet.training.device import find_place
from linnet.training.evaluate import measure, predict
from linnet.training.feature_source import FeatureSource
from linnet.training.frozen import Frozen, frozen_backbone
from linnet.training.run import Run
from tests.training.tiny import tiny_manifest, tiny_recipe


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    return tmp_path / "home/linnet/features"


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images a net has seen, pass by pass."""
    counts: list[int] = []
    features = type(small_net()).features

    def counted(net: Backbone, images: Tensor) -> Tensor:
        counts.append(len(images))
        return features(net, images)

    monkeypatch.setattr(type(small_net()), "features", counted)
    return counts


def recipe_of(**settings: Any) -> Recipe:
    return tiny_recipe(frozen=True, augment="none", **settings)


def small_net(seed: int = 0) -> Backbone:
    with seeded(seed, "weights"):
        return build_backbone("cifar-resnet10", width=4).eval()


def tiny_data() -> TrainingData:
    return prepare(recipe_of(), tiny_manifest())


def opened(
    net: Backbone | None = None, data: TrainingData | None = None, size: int = 16, **settings: Any
) -> FeatureSource:
    recipe, data = recipe_of(**settings), data or tiny_data()
    frozen = Frozen(net or small_net(), Preprocessing(size), recipe, find_place(recipe), progress=False)
    return frozen.open(data, data.rows["test"])


def photo_data(folder: Path) -> TrainingData:
    """A folder of two coarse and four fine classes, 28 x 22 pixels."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 4), ("test", 2)):
        for number in range(4):
            place = folder / split / f"coarse{number % 2}" / f"fine{number}"
            place.mkdir(parents=True)
            for image in range(count):
                pixels = rng.integers(0, 255, (4, 4, 3), dtype=np.uint8)
                Image.fromarray(pixels).resize((28, 22)).save(place / f"{image}.png")
    return prepare(recipe_of(data=str(folder), validation=0.5), load_data(folder))


@pytest.mark.parametrize("channels_last", [True, False])
def test_batches_are_the_maps_of_what_image_batches_show(channels_last: bool) -> None:
    """Mirrored by the very draws of images; from any step on; up to the 16 bits that are kept."""
    data, net = tiny_data(), small_net()
    maps = opened(net, data, seed=3, channels_last=channels_last)
    flips = Augmentation("crop", padding=0)
    images = ImageSource(data.manifest, data.rows["test"], Preprocessing(16), flips, seed=3)
    order = np.random.default_rng(0).permutation(len(maps))
    assert len(maps) == len(images) == 96
    pairs = zip(maps.epoch(5, order, 40, start_step=1), images.epoch(5, order, 40, start_step=1), strict=True)
    plain, mirrored = next(maps.sequential(96)).images, 0
    for said, shown in pairs:
        with torch.inference_mode():
            expected = net.features(shown.images)
        mirrored += int((said.images != plain[said.index]).flatten(1).any(1).sum())
        torch.testing.assert_close(said.images, expected, rtol=1e-3, atol=1e-3)
        assert torch.equal(said.index, shown.index) and torch.equal(said.targets, shown.targets)
        assert said.images.is_contiguous(memory_format=torch.channels_last) == channels_last
    assert 15 < mirrored < 41, "about half of 56"
    both = [next(maps.sequential(8, mirrored=way)).images for way in (False, True)]
    square = next(images.sequential(8)).images
    with torch.inference_mode():
        for got, view in zip(both, (square, square.flip(3)), strict=True):
            torch.testing.assert_close(got, net.features(view), rtol=1e-3, atol=1e-3)


def test_maps_are_computed_once(seen: list[int]) -> None:
    """For all methods, splits and seeds; images of another split alone are new."""
    data = tiny_data()
    first = opened(data=data)
    assert sum(seen) == 2 * 96
    again = opened(data=data, seed=5, method="fine", flip=False)
    assert sum(seen) == 2 * 96
    assert torch.equal(next(first.sequential(9)).images, next(again.sequential(9)).images)
    assert torch.equal(next(again.epoch(0, np.arange(96), 96)).images, next(again.sequential(96)).images), "no flips"


@pytest.mark.parametrize(
    "change",
    [
        lambda data: opened(small_net(seed=1), data),
        lambda data: opened(data=data, size=12),
        lambda data: opened(data=data, channels_last=False),
    ],
)
def test_other_maps_lie_elsewhere(change: Callable[[TrainingData], object], seen: list[int], home: Path) -> None:
    """Weights, preprocessing and layout decide the maps; the old ones stay for who wants them."""
    data = tiny_data()
    opened(data=data)
    change(data)
    assert sum(seen) == 4 * 96 and len(list(home.iterdir())) == 2
    opened(data=data)
    assert sum(seen) == 4 * 96


def test_a_changed_image_is_seen_again(tmp_path: Path, seen: list[int]) -> None:
    """It alone; so is one whose map was damaged on disk."""
    data = photo_data(tmp_path / "photos")
    before = next(opened(data=data).sequential(99)).images
    changed = data.manifest.path(int(data.rows["test"][3]))
    Image.fromarray(np.full((22, 28, 3), 9, np.uint8)).save(changed)
    os.utime(changed, ns=(1, 1))
    after = next(opened(data=data).sequential(99)).images
    assert sum(seen) == 2 * 8 + 2
    assert [n for n in range(8) if not torch.equal(before[n], after[n])] == [3]


def test_a_damaged_map_is_computed_again(home: Path, seen: list[int], caplog: pytest.LogCaptureFixture) -> None:
    data = tiny_data()
    before = next(opened(data=data).sequential(96)).images
    (file,) = home.glob("*/maps-0.bin")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    caplog.set_level(logging.WARNING)
    assert torch.equal(next(opened(data=data).sequential(96)).images, before)
    assert sum(seen) == 2 * 97 and "1 feature maps are damaged" in caplog.text


def test_an_interrupted_pass_goes_on(monkeypatch: pytest.MonkeyPatch, seen: list[int]) -> None:
    """What was computed before stays."""
    monkeypatch.setattr("linnet.training.frozen._AT_ONCE", 40)
    features, calls = type(small_net()).features, [0]

    def broken(net: Backbone, images: Tensor) -> Tensor:
        calls[0] += 1
        if calls[0] == 4:
            raise KeyboardInterrupt
        return features(net, images)

    data = tiny_data()
    with monkeypatch.context() as once:
        once.setattr(type(small_net()), "features", broken)
        with pytest.raises(KeyboardInterrupt):
            opened(data=data)
    assert sum(seen) == 3 * 40
    assert len(opened(data=data)) == 96
    assert sum(seen) == 3 * 40 + 2 * 56


@pytest.mark.parametrize("method", ["coarse", "fine", "any-level", "coins"])
def test_methods_learn_from_maps(method: str, tmp_path: Path) -> None:
    """The net stays as it was and goes into the bundle; figures from maps and from images agree."""
    recipe = recipe_of(method=method, epochs=2, lr=0.2)
    run = train(recipe, tmp_path / "run", tiny_manifest(), progress=False)
    by_maps = run.evaluate("test")
    assert run.evaluate("validation").figures[run.summary["chosen_by"]] == pytest.approx(run.summary["best"])
    bundle = Run.open(tmp_path / "run").bundle.method
    with seeded(recipe.seed, "weights"):
        start = build_backbone("cifar-resnet10", width=4).state_dict()
    assert all(torch.equal(value, bundle.backbone.state_dict()[name]) for name, value in start.items())
    run.recipe = run.recipe.change(frozen=False)
    by_images = run.evaluate("test")
    assert by_images.figures.keys() == by_maps.figures.keys()
    for name, value in by_images.figures.items():
        assert by_maps.figures[name] == pytest.approx(value, rel=0.02, abs=2.1), name
    state, _ = Checkpoints(tmp_path / "run/checkpoints").load_latest() or ({}, None)
    assert not any(".backbone." in name for name in state), "checkpoints leave the net out"


def test_mirror_images_are_averaged_from_maps_as_from_images(tmp_path: Path) -> None:
    """Two views of the test images: the kept maps of both, and none of them seen again."""
    run = train(recipe_of(method="fine", test_views=2, epochs=1), tmp_path / "run", tiny_manifest(), progress=False)
    data, recipe = tiny_data(), run.recipe
    place, method = find_place(recipe), run.bundle.method
    images = ImageSource(data.manifest, data.rows["test"], Preprocessing(16))
    expected = predict(method, images, place, 32, 2)
    with frozen_backbone(method) as net:
        maps = Frozen(net, Preprocessing(16), recipe, place, progress=False).open(data, data.rows["test"])
        found, single = (predict(method, maps, place, 32, views) for views in (2, 1))
    torch.testing.assert_close(found.embedding, expected.embedding, rtol=1e-2, atol=1e-3)
    assert not torch.allclose(found.embedding, single.embedding, rtol=1e-2, atol=1e-3)
    straight = run.evaluate("test").figures["fine_recall@1"]
    assert straight == pytest.approx(measure(data, data.rows["test"], found, [1])["fine_recall@1"], abs=2.1)


def test_learning_is_what_it_would_be_in_the_loop(tmp_path: Path) -> None:
    """The head of a frozen run falls in loss; the same seed gives the same bits, another backbone others."""
    weights = []
    for number, width in enumerate((4, 4, 5)):
        recipe = recipe_of(epochs=3, lr=0.5, width=width)
        train(recipe, tmp_path / str(number), tiny_manifest(), progress=False)
        weights.append(files.digest(tmp_path / str(number) / "bundle/weights.safetensors"))
    assert weights[0] == weights[1] != weights[2]
    lines = (tmp_path / "0/metrics.jsonl").read_text().splitlines()
    losses = [float(line.split('"loss/coarse": ')[1].split(",")[0]) for line in lines]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    ("broken_at", "settings"),
    [
        (7, {"method": "coins"}),
        (18, {"method": "fgn", "optimizer": "adamw", "lr": 1e-3, "options": {"hidden": 8}}),  # among critics' steps
        (18, {"method": "gcnz", "options": {"learns": "regression", "dim": 8, "hidden": 8}}),
    ],
)
def test_a_resumed_run_ends_with_the_same_bits(
    broken_at: int, settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Broken within an epoch, of a later stage too, and the cache deleted meanwhile."""
    recipe = recipe_of(epochs=3, **settings)
    train(recipe, tmp_path / "whole", tiny_manifest(), progress=False)
    monkeypatch.setattr("linnet.training.loop.CHECKPOINT_SECONDS", 0.0)
    steps, step = [0], api.Loop._step

    def broken(*given: object) -> None:
        steps[0] += 1
        if steps[0] == broken_at:
            raise KeyboardInterrupt
        step(*given)  # type: ignore[arg-type]

    with monkeypatch.context() as once:
        once.setattr(api.Loop, "_step", broken)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, tmp_path / "run", tiny_manifest(), progress=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    train(recipe, tmp_path / "run", tiny_manifest(), resume=True, progress=False)
    weights = "bundle/weights.safetensors"
    assert files.digest(tmp_path / "run" / weights) == files.digest(tmp_path / "whole" / weights)


class TwoNets(Method):
    """A method with a second net."""

    needs = frozenset()
    selects = "coarse_top1"

    def __init__(self, first: Backbone, second: Backbone) -> None:
        super().__init__(first, tiny_data().task())
        self.others = nn.ModuleList([second])

    def losses(self, batch: object) -> Any:
        raise NotImplementedError

    def predict(self, images: Tensor) -> Any:
        return self.backbone(images), self.others[0](images)


def test_all_nets_of_a_method_stand_aside_when_they_are_one() -> None:
    """And come back; nets that differ are refused."""
    first, second = small_net(), small_net()
    method, images = TwoNets(first, second), torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    before = method.predict(images)
    with frozen_backbone(method) as net:
        assert net is first and not list(method.parameters())
        for one, other in zip(method.predict(net.features(images)), before, strict=True):
            torch.testing.assert_close(one, other)
    assert method.backbone is first and method.others[0] is second
    with (
        pytest.raises(RecipeError, match="2 nets with weights of their own"),
        frozen_backbone(TwoNets(first, small_net(seed=1))),
    ):
        pass


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"augment": "crop"}, "give augment = 'none'"),
        ({"whitening": "zca"}, "zca"),
        ({"dropout": 0.5}, "leave it out"),
    ],
)
def test_settings_that_need_a_net_that_learns_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        tiny_recipe(**{"frozen": True, "augment": "none", **settings})


def test_what_16_bits_cannot_hold_is_refused() -> None:
    net = small_net()
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.mul_(100)
    with pytest.raises(NonFiniteError, match="16 bits hold 65,504"):
        opened(net)


def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before much is written, and when it fills up meanwhile."""
    with monkeypatch.context() as small:
        small.setattr("linnet.training.frozen.shutil.disk_usage", lambda _: type("Room", (), {"free": 10}))
        with pytest.raises(RecipeError, match=r"0\.0 GB free"):
            opened()
    monkeypatch.setattr("linnet.files.append_bytes", _full)
    with pytest.raises(RecipeError, match="No space left"):
        opened()


def _full(*_: object) -> int:
    raise OSError(28, "No space left on device")


def test_birds_from_the_given_weights(data_folder: Path, tmp_path: Path) -> None:
    """Real images: a head on the frozen net names the coarse class far more often than chance."""
    recipe = Recipe.read(
        {
            "data": "cub",
            "root": str(data_folder),
            "classes": ["Albatross", "Bunting", "Blackbird"],
            "image_size": 64,
            "augment": "none",
            "frozen": True,
            "road": "memory",
            "method": "coarse",
            "backbone": "mobilenet_v2",
            "weights": "weights/mobilenet_v2_imagenet.safetensors",
            "epochs": 10,
            "batch_size": 32,
            "lr": 0.1,
            "device": "cpu",
            "workers": 0,
        }
    )
    found = train(recipe, tmp_path / "run", progress=False).evaluate("test")
    assert found.figures["coarse_top1"] > found.floors["coarse_top1"] + 30
