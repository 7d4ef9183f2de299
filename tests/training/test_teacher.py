"""A finished run as a teacher: named safely, its classes by name, the same when a run goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from linnet import files
from linnet.errors import RecipeError, RunError, SupervisionError
from linnet.recipes import Recipe
from linnet.training.api import train
from linnet.training.data import prepare
from linnet.training.device import find_place
from linnet.training.run import Run
from linnet.training.teacher import open_teacher
from tests.training.tiny import tiny_manifest, tiny_recipe


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two members of one epoch."""
    folder = tmp_path_factory.mktemp("teacher") / "run-0"
    recipe = tiny_recipe(method="orthogonal-ensemble", options={"members": 2}, epochs=1)
    train(recipe, folder, tiny_manifest(), progress=False)
    return folder


def student(teacher: Path | str, **settings: Any) -> Recipe:
    return tiny_recipe(method="distil", options={"teacher": str(teacher)}, **{"epochs": 1, **settings})


def test_a_run_learns_from_a_run(teacher: Path, tmp_path: Path) -> None:
    """The folder may name the seed; neither checkpoint nor bundle holds the teacher."""
    run = train(student(teacher.parent / "run-{seed}"), tmp_path, tiny_manifest(), progress=False)
    assert run.summary["teacher_sha256"] == files.digest(teacher / "bundle" / "weights.safetensors")
    alone = load_file(teacher / "bundle" / "weights.safetensors")
    ours = load_file(tmp_path / "bundle" / "weights.safetensors")
    assert sum(value.numel() for value in ours.values()) < 0.55 * sum(value.numel() for value in alone.values())
    figures = Run.open(tmp_path).evaluate("test", tiny_manifest()).figures
    assert "fine_top1" in figures


def test_hardly_any_label_is_needed(teacher: Path, tmp_path: Path) -> None:
    """Where a fine label is known it counts, and the teacher's answer counts for every image."""
    run = train(student(teacher, label_fraction=0.2), tmp_path, tiny_manifest(), progress=False)
    (line,) = (json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines())
    assert 0 < line["loss/fine"] < 0.3 * np.log(24), "a fifth of the images, and the mean over all"
    assert line["loss/soft"] > 0 and run.summary["images"]["train"] > 100


def test_names_decide_which_class_is_which(teacher: Path) -> None:
    """A student of some of the classes picks those of the teacher by name."""
    whole, recipe = tiny_manifest(), student(teacher)
    kept = tuple(whole.taxonomy.classes[0][number] for number in (4, 1))
    place, seen = find_place(recipe), Run.open(teacher).bundle.preprocessing
    data = prepare(recipe.change(classes=list(kept)), whole)
    part = open_teacher(recipe, data, seen, place)
    full = open_teacher(recipe, prepare(recipe, whole), seen, place)
    images = torch.from_numpy(np.ones((2, 3, 16, 16), np.float32))
    assert part is not None and full is not None
    names = whole.taxonomy.classes[1]
    places = [names.index(name) for name in data.manifest.taxonomy.classes[1]]
    assert len(places) == 8 and torch.equal(part(images), full(images)[:, places])
    assert not part(images).is_inference() and not part(images).requires_grad


def test_what_cannot_teach(teacher: Path, tmp_path: Path) -> None:
    """No run, other images, classes it does not know, no fine classes."""
    with pytest.raises(RunError, match=r"bundle\.json"):
        train(student(tmp_path / "nothing"), tmp_path / "a", tiny_manifest(), progress=False)
    with pytest.raises(RecipeError, match=r"sees other images \(image_size 16 there, 24 here\)"):
        train(student(teacher, image_size=24), tmp_path / "b", tiny_manifest(), progress=False)
    with pytest.raises(SupervisionError, match=r"'distil' needs a finished run.*Name its folder: teacher=runs/NAME"):
        train(student(""), tmp_path / "c", tiny_manifest(), progress=False)
    train(tiny_recipe(epochs=1), tmp_path / "coarse", tiny_manifest(), progress=False)
    with pytest.raises(RecipeError, match="names no fine classes"):
        train(student(tmp_path / "coarse"), tmp_path / "d", tiny_manifest(), progress=False)
    few = tiny_recipe(method="fine", epochs=1, classes=[tiny_manifest().taxonomy.classes[0][0]])
    train(few, tmp_path / "few", tiny_manifest(), progress=False)
    with pytest.raises(RecipeError, match=r"does not know 20 of the 24 classes of"):
        train(student(tmp_path / "few"), tmp_path / "e", tiny_manifest(), progress=False)


def test_a_run_goes_on_with_the_teacher_it_had(teacher: Path, tmp_path: Path) -> None:
    """Another under the same name is refused."""
    folder = tmp_path / "run"
    train(student(teacher), folder, tiny_manifest(), progress=False)
    summary = files.read_json(folder / "training.json")
    files.write_json(folder / "training.json", {**summary, "teacher_sha256": "0" * 64})
    with pytest.raises(RunError, match="its weights have changed since"):
        train(student(teacher), folder, tiny_manifest(), resume=True, progress=False)
