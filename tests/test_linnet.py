"""`linnet.train` as a script calls it: what is handed on, and what is refused before anything is read."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import linnet
from linnet.errors import RecipeError
from linnet.manifest import read_manifest
from linnet.recipes import Recipe


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What the training was called with; nothing is trained."""
    called: list[tuple[Any, ...]] = []
    monkeypatch.setitem(
        sys.modules, "linnet.training.api", SimpleNamespace(train=lambda *given, **_: called.append(given))
    )
    return called


def test_settings_are_handed_on(trained: list[tuple[Any, ...]], tmp_path: Path) -> None:
    linnet.train(Path("photos.csv"), root=Path("/photos"), weights=Path("w.safetensors"), levels=["kind", "breed"])
    recipe, folder, manifest = trained[0]
    assert isinstance(recipe, Recipe)
    assert (recipe.data, recipe.root, recipe.weights) == ("photos.csv", "/photos", "w.safetensors")
    assert recipe.reading() == {"levels": ("kind", "breed")}
    assert (folder, manifest) == (Path("runs/photos-coins"), None)
    table = tmp_path / "pets.csv"
    table.write_text("image,class\na.jpg,dog\n")
    given = read_manifest(table)
    linnet.train(given, tmp_path / "run", options={"lambda": 0.2})
    recipe, folder, manifest = trained[1]
    assert (recipe.data, recipe.options["lambda"], folder) == (str(table), 0.2, tmp_path / "run")
    assert manifest is given


@pytest.mark.parametrize(
    ("data", "settings", "part"),
    [
        ("", {}, "data = '': give a table or folder"),
        ("  ", {}, "give a table or folder"),
        (3, {}, "data = 3: give a table or folder"),
        ("creatures", {"options": 3}, "options = 3: give names and values"),
        ("creatures", {"options": ["lambda"]}, "options={'lambda': 0.2}"),
        ("creatures", {"root": 3}, "root = 3"),
    ],
)
def test_what_is_refused(trained: list[Any], data: Any, settings: dict[str, Any], part: str) -> None:
    with pytest.raises(RecipeError) as raised:
        linnet.train(data, **settings)
    assert part in str(raised.value)
    assert not trained
