"""`linnet demo`, which is what a new user sees first: the whole of it, cut small."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from linnet.cli import demo as command
from linnet.cli.app import app
from linnet.recipes import Recipe, load_recipe, resolve
from linnet.training.run import Run
from tests.training.tiny import SETTINGS

CUT = {key: value for key, value in SETTINGS.items() if key not in {"data", "method"}} | {"epochs": 1}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(name: str, **fixed: Any) -> Recipe:
        return resolve(name, CUT, **fixed)

    monkeypatch.setenv("COLUMNS", "160")  # a narrow table breaks its lines
    monkeypatch.setattr("linnet.recipes.resolve", cut)
    monkeypatch.setattr(command, "_TRAIN_PER_CLASS", 3)
    monkeypatch.setattr(command, "_TEST_PER_CLASS", 2)


@pytest.mark.usefixtures("small")
def test_it_trains_compares_and_says_what_to_do_next(tmp_path: Path) -> None:
    out = tmp_path / "my demo"
    done = CliRunner().invoke(app, ["demo", "--out", str(out), "--program", "bin/linnet"])
    assert done.exit_code == 0, done.output
    shown = " ".join(done.stdout.split())
    figures = {name: Run.open(out / name).evaluated("test") for name in command.ROWS}
    for name, description in command.ROWS.items():
        assert description in shown
        found = figures[name]
        assert found is not None and found.images == 48
        assert f"{found.figures['fine_recall@1']:.1f}" in shown
    assert "chance" in shown and "bin/linnet train FOLDER-OR-TABLE" in shown
    assert f"'{out}/creatures'" in shown, "a path with a space can be copied to a shell"
    logs = [(out / name / "metrics.jsonl").read_bytes() for name in command.ROWS]
    again = CliRunner().invoke(app, ["demo", "--out", str(out)])
    assert again.exit_code == 0, again.output
    assert logs == [(out / name / "metrics.jsonl").read_bytes() for name in command.ROWS], "nothing is trained again"
    assert again.stdout.splitlines()[:9] == done.stdout.splitlines()[:9], "the table"


def test_its_two_recipes_differ_in_the_method_alone() -> None:
    first, second = (load_recipe(f"demo/{name}") for name in command.ROWS)
    assert first.model_copy(update={"row": "", "method": "", "options": {}}) == second.model_copy(
        update={"row": "", "method": "", "options": {}}
    )
