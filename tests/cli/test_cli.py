"""The command line: help, messages, exit codes, and what the commands hand on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from linnet.cli import train as train_command
from linnet.cli.app import COMMANDS, app
from linnet.errors import ManifestError, RunError
from linnet.recipes import Recipe, from_toml, list_recipes, load_recipe

DONE = SimpleNamespace(
    split="test",
    images=10,
    figures={"coarse_top1": 80.0, "effective_rank": 3.0},
    floors={"coarse_top1": 25.0},
    marks=["a leak"],
)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[Recipe, Path, bool]]:
    """What `train` was called with; nothing is trained."""
    monkeypatch.chdir(tmp_path)
    called: list[tuple[Recipe, Path, bool]] = []

    def train(recipe: Recipe, out: Path, *, resume: bool = False) -> Any:
        called.append((recipe, out, resume))
        return SimpleNamespace(evaluate=lambda: DONE, load=lambda: SimpleNamespace(rows={"test": range(10)}))

    monkeypatch.setitem(sys.modules, "linnet.training.api", SimpleNamespace(train=train))
    return called


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(arguments), prog_name="linnet")
    return result.exit_code, result.stdout, result.stderr


def test_help_names_every_command() -> None:
    code, out, _ = run("--help")
    assert code == 0
    commands = [command.__name__.rpartition(".")[2] for command in COMMANDS]
    assert {"train", "evaluate", "recipes"} <= set(commands)
    assert all(command in out for command in commands)


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    places = [tmp_path / "file", tmp_path / "link", *([Path("/proc/linnet")] if Path("/proc/self").exists() else [])]
    for place in places:
        code, _, error = run("demo", "--out", str(place))
        assert code == 2
        assert "name another place" in error and str(place) in error and "Traceback" not in error


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.__name__)
def test_every_command_has_help(command: ModuleType) -> None:
    name = command.__name__.rpartition(".")[2]
    code, out, _ = run(name, "--help")
    assert code == 0
    assert f"linnet {name}" in out


def test_recipes_lists_and_prints() -> None:
    code, out, _ = run("recipes")
    assert code == 0
    assert all(name in out for name in list_recipes())
    assert "coins[all]" in out
    code, out, _ = run("recipes", "cifar100/coins")
    assert code == 0
    assert from_toml(out) == load_recipe("cifar100/coins")
    code, out, _ = run("recipes", "pets")
    assert code == 0 and "pets/coins" in out and "fine_recall@1 86.59" in out and "cifar100/coarse" not in out


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["recipes", "cifar100/coin"], "did you mean 'cifar100/coins'"),
        (["train"], "linnet train DATA"),
        (["train", "lr=0.1"], "linnet train DATA"),
        (["train", "cifar100", "lrr=1"], "did you mean 'lr'"),
        (["train", "cifar100", "lr=fast"], "a number above 0"),
        (["train", "cifar100", "epochs"], "write key=value"),
        (["train", "--recipe", "cifar100/coins", "method=cions"], "did you mean 'coins'"),
        (["train", "cifar100", "--resume"], "nothing to resume"),
        (["train", "--resume"], "--resume needs --out FOLDER"),
        (["train", "--resume", "lr=.1"], "--resume needs --out FOLDER"),
        (["train", "--resume", "--out", "nowhere"], "nowhere holds no run"),
        (["train", "creatures", "--resume", "--out", "nowhere"], "nowhere holds no run"),
        (["train", "--recipe", "pets/coins", "--root", "d"], "columns image, split (train, test), coarse and fine"),
        (["train", "--recipe", "pets/coins"], "linnet train photos.csv --recipe pets/coins --root DIR"),
        (["train", "creatures", "levels=kind"], "for tables and folders only"),
        (["evaluate", "nowhere"], "nowhere"),
    ],
)
def test_a_mistake_is_one_message_and_code_2(
    arguments: list[str], part: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert part in err
    assert "Traceback" not in err


def test_dry_run_prints_a_recipe_that_reads_back(trained: list[Any]) -> None:
    code, out, _ = run("train", "--recipe", "cifar100/coins", "--dry-run", "lambda=.3", "--root", "/images")
    assert code == 0
    recipe = from_toml(out)
    assert (recipe.options["lambda"], recipe.root, recipe.data) == (0.3, "/images", "cifar100")
    assert not trained


def test_train_hands_on_and_shows(trained: list[tuple[Recipe, Path, bool]]) -> None:
    code, out, err = run("train", "creatures", "method=coarse", "epochs=2")
    assert code == 0, err
    recipe, folder, resume = trained[0]
    assert (recipe.data, recipe.method, recipe.epochs) == ("creatures", "coarse", 2)
    assert (folder, resume) == (Path("runs/creatures-coarse"), False)
    assert "coarse_top1" in out
    assert "80.00" in out
    assert "25.00" in out
    assert "mark: a leak" in err


def test_run_folders_do_not_collide(trained: list[tuple[Recipe, Path, bool]]) -> None:
    for taken in ("cifar100-coins", "cifar100-coins-2"):
        Path("runs", taken).mkdir(parents=True)
    assert run("train", "--recipe", "cifar100/coins")[0] == 0
    assert run("train", "--recipe", "cifar100/coins", "--resume")[0] == 0
    assert run("train", "--recipe", "cifar100/coins", "--out", "here")[0] == 0
    assert [folder.name for _, folder, _ in trained] == ["cifar100-coins-3", "cifar100-coins-2", "here"]


def test_several_processes_need_a_folder(trained: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    code, _, err = run("train", "creatures")
    assert code == 2
    assert "--out" in err
    assert not trained


def test_a_path_with_an_equals_sign_is_data(trained: list[tuple[Recipe, Path, bool]]) -> None:
    Path("a=b.csv").touch()
    assert run("train", "a=b.csv", "epochs=1")[0] == 0
    assert trained[0][0].data == "a=b.csv"


def test_resume_takes_the_run_s_own_settings(trained: list[tuple[Recipe, Path, bool]]) -> None:
    from linnet import files

    recipe = Recipe(data="creatures", lr=0.3)
    files.write_json("here/recipe.json", recipe.model_dump(mode="json"))
    assert run("train", "--resume", "--out", "here")[0] == 0
    assert (trained[0][0].data, trained[0][0].lr, trained[0][1:]) == ("creatures", 0.3, (Path("here"), True))


def test_resume_takes_what_else_is_said(trained: list[tuple[Recipe, Path, bool]]) -> None:
    from linnet import files

    stored = Recipe(data="photos.csv", root="/old", lr=0.3, note="mine")
    files.write_json("here/recipe.json", stored.model_dump(mode="json"))
    assert run("train", "--resume", "--out", "here", "threads=1", "--root", "/new")[0] == 0
    assert run("train", "moved.csv", "--resume", "--out", "here")[0] == 0
    first, second = (recipe for recipe, _, _ in trained)
    assert (first.threads, first.root, first.data, first.lr, first.note) == (1, "/new", "photos.csv", 0.3, "mine")
    assert (second.data, second.root, second.lr) == ("moved.csv", "/old", 0.3)


@pytest.mark.parametrize(
    ("raised", "code", "part"),
    [
        (KeyboardInterrupt(), 130, "interrupted; resume with: linnet train --resume --out 'my runs/a'"),
        (ManifestError("photos.csv, line 3: no image"), 2, "photos.csv, line 3: no image"),
        (RunError("[red]brackets[/red] stay"), 2, "[red]brackets[/red] stay"),
        (PermissionError(13, "Permission denied", "runs/a"), 2, "runs/a: Permission denied; name another place"),
        (OSError(28, "No space left on device"), 2, "No space left on device; name another place"),
    ],
)
def test_how_training_ends_badly(
    raised: BaseException, code: int, part: str, trained: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise raised

    monkeypatch.setattr(train_command, "_run", fail)
    Path("my runs/a").mkdir(parents=True)
    Path("my runs/a/recipe.json").write_text("{}")
    found, _, err = run("train", "creatures", "--out", "my runs/a")
    assert found == code
    assert part in err
    assert "Traceback" not in err


def test_an_interrupt_before_the_run_began(trained: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(train_command, "_run", fail)
    code, _, err = run("train", "creatures", "--out", "new")
    assert code == 130
    assert "--resume" not in err


def test_a_fault_keeps_its_traceback(trained: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_command, "_run", lambda *_: 1 / 0)
    result = CliRunner().invoke(app, ["train", "creatures"])
    assert isinstance(result.exception, ZeroDivisionError)
    monkeypatch.setattr(train_command, "_run", lambda *_: Path("nothing").read_text())
    assert isinstance(CliRunner().invoke(app, ["train", "creatures"]).exception, FileNotFoundError)


def test_as_a_process(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "linnet", "train", "cifar100", "lamda=1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("unknown setting 'lamda'; did you mean 'lambda'?")
    assert len(done.stderr.splitlines()) == 1
