"""Fenced code blocks of the documents: their language, the reason why one is not run, the commands they hold."""

from __future__ import annotations

import ast
import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import typer

from linnet.cli.app import app
from linnet.cli.reading import read_reading
from linnet.cli.train import read_settings
from linnet.datasets import KNOWN
from linnet.errors import LinnetError
from linnet.recipes import list_recipes, parse_overrides

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "benchmarks/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
"""Not the tables under docs/results, which `linnet results` writes and which hold no code."""

RUN = ("bash", "python")
SHOWN = ("text", "csv", "json", "toml", "html")
"""Languages of what is shown and not run: output, layouts, contents of files."""

_FENCE = re.compile(r"\s*(```+|~~~+)\s*([\w+-]*)")
_MARK = re.compile(r"<!--\s*not run:(.*)-->\s*")
_SENTENCE = 10
"""Fewer letters are no reason."""


class BlockError(Exception):
    """What is wrong with a block, for the writer of its page."""


@dataclass(frozen=True)
class Block:
    """A fenced block; `reason` says why it is not run, None where it is."""

    page: str
    line: int
    language: str
    text: str
    reason: str | None = None

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def lines(self) -> Iterator[list[str]]:
        """Its shell commands, as words; a line that ends in a backslash goes on."""
        if self.language == "bash":
            for line in self.text.replace("\\\n", " ").splitlines():
                words = shlex.split(line.removeprefix(".venv/bin/"), comments=True)
                if words:
                    yield words

    @property
    def commands(self) -> Iterator[list[str]]:
        """Arguments of its calls of linnet."""
        yield from (words[1:] for words in self.lines if words[0] == "linnet")


def read_blocks(page: str, text: str) -> tuple[list[Block], list[str]]:
    """The blocks of a page, and what is wrong with its fences and marks."""
    blocks, wrong, lines = [], [], [*text.splitlines(), ""]
    fence, start, mark = None, 0, None
    for number, line in enumerate(lines):
        found = _FENCE.match(line)
        if fence is None and found:
            fence, start = found, number
        elif fence is not None and line.strip() == fence[1]:
            inside = "\n".join(lines[start + 1 : number]) + "\n"
            blocks.append(Block(page, start + 1, fence[2], inside, mark))
            fence, mark = None, None
        elif fence is None:
            if mark is not None:
                wrong.append(
                    f"{page}:{number}: a mark `not run` that stands on no block: put it on the line above a fence"
                )
            marked = _MARK.fullmatch(line)
            mark = marked[1].strip() if marked else None
    if fence is not None:
        wrong.append(f"{page}:{start + 1}: a fence that is not closed")
    return blocks, wrong


def all_blocks() -> tuple[list[Block], list[str]]:
    """The blocks of every page, and what is wrong with fences and marks."""
    blocks, wrong = [], []
    for page in PAGES:
        found, faults = read_blocks(str(page.relative_to(ROOT)), page.read_text(encoding="utf-8"))
        blocks += found
        wrong += faults
    return blocks, wrong


def check_block(block: Block) -> None:
    """All that can be said of a block without running it, but for the names in its command lines.

    Raises:
        BlockError: it has a fault.
    """
    _check_kind(block)
    _check_others(block)
    if block.language == "python":
        _check_imports(block)


def _check_kind(block: Block) -> None:
    """Its language is one that says what is done with it; what is shown is well-formed; a reason is one.

    Raises:
        BlockError: it is not so.
    """
    if block.language not in (*RUN, *SHOWN):
        raise BlockError(f"```{block.language}: write {', '.join(RUN)}, or for what is shown {', '.join(SHOWN)}")
    if block.reason is not None and block.language in SHOWN:
        raise BlockError(f"a block of {block.language} is not run anyway: take the mark away")
    if block.reason is not None and len(block.reason) < _SENTENCE:
        raise BlockError(f"`not run: {block.reason}` gives no reason")
    try:
        if block.language == "json":
            json.loads(block.text)
        elif block.language == "toml":
            tomllib.loads(block.text)
        elif block.language == "python":
            compile(block.text, block.place, "exec")
        else:
            list(block.lines)
    except (ValueError, SyntaxError) as error:
        raise BlockError(f"is no {block.language}: {error}") from None


@cache
def _command_line() -> Any:
    return typer.main.get_command(app)


def parse(arguments: list[str]) -> dict[str, Any]:
    """What the command line makes of the arguments, without running anything; typer brings a click of its own.

    Raises:
        BlockError: an unknown command or option, a missing argument or a wrong value.
    """
    command: Any = _command_line()
    rest = list(arguments)
    try:
        while hasattr(command, "resolve_command"):
            if rest[0].startswith("-"):
                return {}
            context = command.make_context("linnet", list(rest))
            rest = [*context._protected_args, *context.args]  # a group may put a command of its own first
            _, command, rest = command.resolve_command(context, rest)
        found: dict[str, Any] = command.make_context("linnet", rest).params
        return found
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        raise BlockError(error.format_message()) from None


def check_names(arguments: list[str]) -> None:
    """Recipes, methods, settings and data sets that a command line names are there, whether their data is or not.

    Raises:
        BlockError: one of them is not.
    """
    given, command = parse(arguments), arguments[0]
    words = given.get("arguments") or []
    try:
        if command in ("train", "sweep") and not given.get("resume"):  # a run that goes on has settings of its own
            settings = read_settings(words, given["recipe"], given["root"])
            _check_data(settings.data)
            if command == "sweep":
                key, _, values = given["over"].partition("=")
                for value in values.split(","):
                    parse_overrides([f"{key}={value}"], settings)
        elif command in ("check", "attributes", "index"):
            of_run = command == "index" and not (given["timm"] or given["vectors"])
            data, _ = read_reading(words[1:] if of_run else words)
            _check_data(data or "")
        elif command == "recipes" and given["name"]:
            name = given["name"]
            if not any(f"{each}/".startswith(f"{name}/") for each in list_recipes()):
                raise BlockError(f"there is no recipe or folder of recipes {name}")
    except LinnetError as error:
        raise BlockError(str(error)) from None


def _check_data(data: str) -> None:
    if data and data not in KNOWN and not Path(data).suffix and "/" not in data and data not in ("photos", "more"):
        raise BlockError(f"{data} is neither a known data set nor a path")


def _check_imports(block: Block) -> None:
    """What a Python block imports of Linnet is there, and so is what it takes of `linnet` itself.

    Raises:
        BlockError: a module or a name is not there.
    """
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "linnet":
            wanted = [(str(node.module), alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            wanted = [(alias.name, "") for alias in node.names if alias.name.partition(".")[0] == "linnet"]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "linnet":
            wanted = [("linnet", node.attr)]
        else:
            continue
        for module, name in wanted:
            try:
                if name and not hasattr(import_module(module), name):
                    import_module(f"{module}.{name}")
                import_module(module)
            except ImportError as error:
                raise BlockError(str(error)) from None


def _check_others(block: Block) -> None:
    """Targets of make, scripts and packages' extras that a block names are there.

    Raises:
        BlockError: one is not, or a program that pages do not use.
    """
    for words in block.lines:
        if words[0] == "make":
            targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
            missing = [word for word in words[1:] if "=" not in word and word not in targets]
        elif words[0] == "python":
            missing = [] if (ROOT / words[1]).is_file() else [words[1]]
        elif words[:2] == ["pip", "install"]:
            project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
            extras = [each for word in words for each in re.findall(r"linnet\[(.+)\]", word)]
            missing = [
                each for extra in extras for each in extra.split(",") if each not in project["optional-dependencies"]
            ]
        elif words[0] in ("linnet", "curl"):  # parsed, and asked, elsewhere
            missing = []
        else:
            missing = [] if block.reason else [words[0]]
        if missing:
            raise BlockError(f"{' '.join(words)}: there is no {', '.join(missing)}")
