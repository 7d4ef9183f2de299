"""An ensemble's run: killed inside any member, grown by a member, and opened as any prefix of its members."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from linnet import files
from linnet.errors import RecipeError, RunError
from linnet.recipes import Recipe, check_options
from linnet.training.api import train
from linnet.training.run import Run
from tests.training.tiny import tiny_manifest, tiny_recipe


def recipe(members: int = 2, **settings: Any) -> Recipe:
    """Members of two epochs, that of the best validation figure kept unless told otherwise."""
    options = {"members": members, "alpha": 0.5}
    return tiny_recipe(method="orthogonal-ensemble", options=options, epochs=2, batch_size=48, **settings)


def fit(chosen: Recipe, folder: Path, *, resume: bool = False) -> Run:
    return train(chosen, folder, tiny_manifest(), resume=resume, progress=False)


def log(folder: Path) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def same(one: Path, other: Path) -> bool:
    name = "bundle/weights.safetensors"
    return files.digest(one / name) == files.digest(other / name) and log(one) == log(other)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three members that nothing broke."""
    folder = tmp_path_factory.mktemp("ensemble") / "whole"
    fit(recipe(3), folder)
    return folder


@pytest.mark.parametrize("steps", [2, 6, 8, 13])
def test_killed_inside_any_member(steps: int, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three steps an epoch, six a member: within the first, at the start of the second, in the others."""
    monkeypatch.setattr("linnet.training.loop.CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr("linnet.training.loop.EPOCH_SECONDS", 0.0)
    left = iter(range(steps))

    def killed(loop: Any, *rest: Any, step: Any = None) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        original(loop, *rest)

    from linnet.training.loop import Loop

    original = Loop._step
    with monkeypatch.context() as broken:
        broken.setattr(Loop, "_step", killed)
        with pytest.raises(KeyboardInterrupt):
            fit(recipe(3), tmp_path)
    assert not (tmp_path / "bundle" / "bundle.json").exists()
    fit(recipe(3), tmp_path, resume=True)
    assert same(tmp_path, whole)


def test_a_member_added_later_is_the_one_that_would_have_been(whole: Path, tmp_path: Path) -> None:
    """Bit for bit, the earlier ones too; and a folder that grows is no finished run until it has grown."""
    fit(recipe(2), tmp_path)
    before = load_file(tmp_path / "bundle" / "weights.safetensors")
    two = Run.open(tmp_path).evaluate("test", tiny_manifest())
    grown = fit(recipe(3), tmp_path, resume=True)
    after = load_file(tmp_path / "bundle" / "weights.safetensors")
    assert all(torch.equal(value, after[name]) for name, value in before.items()) and len(after) > len(before)
    assert same(tmp_path, whole)
    assert Run.open(tmp_path).recipe == grown.recipe == check_options(recipe(3))
    prefix = Run.open(tmp_path, members=2)
    assert prefix.evaluate("test", tiny_manifest()).figures == two.figures
    assert prefix.seconds < grown.seconds == grown.summary["seconds"]
    assert {f"evaluation-test{part}.json" for part in ("", "-members-2")} <= {each.name for each in tmp_path.iterdir()}


def test_a_single_model_grows_into_either_ensemble(whole: Path, tmp_path: Path) -> None:
    """Its alpha had no part in it; the folder says both commands."""
    fit(recipe(1).change(options={"members": 1, "alpha": 0.0}), tmp_path)
    grown = fit(recipe(3), tmp_path, resume=True)
    assert same(tmp_path, whole)
    assert grown.summary["command"].count(" && ") == 1


def test_growing_can_be_interrupted(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before its first checkpoint too."""
    fit(recipe(2), tmp_path)
    with monkeypatch.context() as broken:
        broken.setattr("linnet.training.loop.Loop._end_epoch", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            fit(recipe(3), tmp_path, resume=True)
    with pytest.raises(RunError, match="training has not finished"):
        Run.open(tmp_path)
    fit(recipe(3), tmp_path, resume=True)
    assert same(tmp_path, whole)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_what_is_not_growing(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer members, another alpha, or a run that has not ended."""
    for options in ({"members": 2, "alpha": 0.5}, {"members": 4, "alpha": 0.1}):
        with pytest.raises(RunError, match="holds a run with other settings"):
            fit(recipe(3).change(options=options), whole, resume=True)
    with monkeypatch.context() as broken:
        broken.setattr("linnet.training.loop.Loop._end_epoch", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            fit(recipe(2), tmp_path)
    with pytest.raises(RunError, match="holds a run with other settings"):
        fit(recipe(3), tmp_path, resume=True)


def test_a_prefix_that_is_not_there(whole: Path) -> None:
    with pytest.raises(RecipeError, match="members = 4: the run has 3; give 1 to 3"):
        Run.open(whole, members=4).evaluate("test", tiny_manifest())


def test_a_frozen_net_makes_no_members(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="frozen = true: members learn where to look"):
        fit(recipe(2, frozen=True, augment="none"), tmp_path)
