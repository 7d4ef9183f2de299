"""The documents' code: every `linnet` line parses, every Python block compiles, and those of the guides run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from linnet.cli.app import app
from linnet.datasets.creatures import write_folder
from linnet.training.api import train
from tests.training.tiny import tiny_recipe

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
GUIDES = ("quickstart.md", "your-data.md", "which-method.md", "predict.md")
"""Pages whose blocks run, on a prepared folder `photos` and run `runs/photos`."""

SLOW = ("train photos method=coins backbone=resnet18",)
"""A training of an hour: its settings are resolved by `--dry-run` instead."""


@dataclass(frozen=True)
class Block:
    page: Path
    language: str
    text: str

    @property
    def commands(self) -> Iterator[list[str]]:
        """Arguments of every line that calls linnet; a line that ends in a backslash goes on."""
        if self.language in ("", "bash", "console", "sh"):
            for line in self.text.replace("\\\n", " ").splitlines():
                plain = line.removeprefix("$ ").removeprefix(".venv/bin/")
                if plain.startswith("linnet "):
                    yield shlex.split(plain, comments=True)[1:]


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = [
    Block(page, language, text) for page in PAGES for language, text in FENCE.findall(page.read_text(encoding="utf-8"))
]
LINES = [(block.page.name, command) for block in BLOCKS for command in block.commands]


class _UsageError(Exception):
    """A line that the command line does not take."""


def parse(arguments: list[str]) -> None:
    """Parse as the command line does, without running anything; typer brings a click of its own, so by name.

    Raises:
        _UsageError: an unknown command or option, a missing argument or a wrong value.
    """
    command: Any = typer.main.get_command(app)
    rest = list(arguments)
    try:
        while hasattr(command, "resolve_command"):
            if rest[0].startswith("-"):
                return
            context = command.make_context("linnet", list(rest))
            rest = [*context._protected_args, *context.args]  # a group may put a command of its own first
            _, command, rest = command.resolve_command(context, rest)
        command.make_context("linnet", rest)
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        raise _UsageError(error.format_message()) from None


def test_there_is_code() -> None:
    assert len(LINES) > 40 and {name for name, _ in LINES} >= set(GUIDES)


@pytest.mark.parametrize(("page", "arguments"), LINES, ids=[f"{page}: {' '.join(line)[:60]}" for page, line in LINES])
def test_every_command_line_parses(page: str, arguments: list[str]) -> None:
    try:
        parse(arguments)
    except _UsageError as error:
        pytest.fail(f"{page}: linnet {' '.join(arguments)}: {error}", pytrace=False)


@pytest.mark.parametrize("line", ["predikt RUN", "predict RUN", "predict RUN a.jpg --bakoff 1", "predict R a -k many"])
def test_the_parser_sees_mistakes(line: str) -> None:
    with pytest.raises(_UsageError):
        parse(line.split())


@pytest.mark.parametrize("block", [each for each in BLOCKS if each.language == "python"], ids=lambda b: b.page.name)
def test_every_python_block_compiles(block: Block) -> None:
    compile(block.text, str(block.page), "exec")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    write_folder(folder / "photos", size=16, train_per_class=8, test_per_class=1)
    write_folder(folder / "more", size=16, train_per_class=1, test_per_class=1)
    for number, path in enumerate(sorted((folder / "more/train").rglob("*.png"))[:2]):
        path.rename(folder / f"more/{number}.jpg")
    recipe = tiny_recipe(method="fine", epochs=1, data=str(folder / "photos"))
    train(recipe, folder / "runs/photos", progress=False)
    return folder


@pytest.mark.parametrize("page", GUIDES)
def test_the_guides_run(page: str, prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of the page; a command fails its page with what it printed."""
    monkeypatch.chdir(prepared)
    for block in (each for each in BLOCKS if each.page.name == page):
        for arguments in block.commands:
            line = " ".join(arguments)
            if "--resume" in arguments:
                continue  # the run is finished, which is an answer of its own
            extra = ["--dry-run"] if line.startswith(SLOW) else []
            extra += ["--engine", "torch"] if arguments[0] in ("index", "search", "predict") else []
            done = CliRunner().invoke(app, [*arguments, *extra])
            assert done.exit_code == 0, f"{page}: linnet {line}\n{done.output}"
        if block.language == "python":
            exec(compile(block.text, page, "exec"), {})  # noqa: S102 (our own documents)
