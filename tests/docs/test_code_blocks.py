"""The documents' code: every block runs on a small prepared world, or says on the line above it why it does not.

A new page under docs/ takes part by itself. What its blocks find there, `world.make_world` makes. A block that cannot
run gets a line directly above its fence, `<!-- not run: needs CIFAR-100 and a quarter of an hour -->`.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
import torch

from tests.docs.blocks import (
    Block,
    BlockError,
    all_blocks,
    check_block,
    check_names,
    read_blocks,
)  # fmt: skip
from tests.docs.world import Player, copy_world, make_world

BLOCKS, FAULTS = all_blocks()
LINES = [(block, command) for block in BLOCKS for command in block.commands]
RUNNING = [block for block in BLOCKS if block.reason is None and block.language in ("bash", "python")]
GUIDES = {f"docs/{name}.md" for name in ("quickstart", "your-data", "which-method", "predict")}
"""Pages that a newcomer follows: their blocks run, all of them."""


def test_there_is_code() -> None:
    assert len(LINES) > 40
    assert {block.page for block in RUNNING} >= GUIDES
    assert not [block.place for block in BLOCKS if block.page in GUIDES and block.reason]


def test_fences_and_marks_are_whole() -> None:
    assert not FAULTS, "\n".join(FAULTS)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.place)
def test_every_block_is_of_a_kind_and_names_what_is_there(block: Block) -> None:
    try:
        check_block(block)
    except BlockError as error:
        pytest.fail(f"{block.place}: {error}", pytrace=False)


@pytest.mark.parametrize(
    ("block", "arguments"), LINES, ids=[f"{block.page}: {' '.join(line)[:60]}" for block, line in LINES]
)
def test_every_command_line_parses(block: Block, arguments: list[str]) -> None:
    try:
        check_names(arguments)
    except BlockError as error:
        pytest.fail(f"{block.place}: linnet {' '.join(arguments)}: {error}", pytrace=False)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    make_world(folder)
    return folder


@pytest.mark.parametrize("page", sorted({block.page for block in RUNNING}))
def test_the_blocks_of_a_page_run(page: str, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of the page, each page in a copy of the world."""
    world = tmp_path / "world"
    mine = [each for each in RUNNING if each.page == page]
    copy_world(prepared, world, "".join(block.text for block in mine))
    monkeypatch.chdir(world)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LINNET_DATA", str(world / "DIR"))
    torch.set_num_threads(1)  # nets so small gain nothing by a second, and lose where cores are shared
    with contextlib.closing(Player(monkeypatch)) as player:
        for block in mine:
            try:
                player.play(block)
            except Exception as error:
                told = f"{block.place}: {type(error).__name__}: {error}"
                pytest.fail(told, pytrace=not isinstance(error, BlockError))


@pytest.mark.parametrize(
    "line",
    [
        *("predikt RUN", "predict RUN", "predict RUN a.jpg --bakoff 1", "predict R a -k many"),
        *("train photos method=koins", "train photos epoks=3", "train photos bakbone=resnet18", "train fotos"),
        *("train --recipe cub/cpu-nothing --root DIR", "train photos backbone=resnet18 epochs=many"),
        *("sweep photos method=coins --over lamda=1,2 --out s", "sweep photos method=coins --over lambda=x --out s"),
        *("recipes cubs", "check photos attribute=a.csv", "index runs/photos photos level=a", "attributes kub"),
    ],
)
def test_the_checks_see_mistakes_of_a_line(line: str) -> None:
    with pytest.raises(BlockError):
        check_names(line.split())


@pytest.mark.parametrize(
    ("language", "text", "reason"),
    [
        *(("", "linnet --help", None), ("sh", "linnet --help", None), ("json", '{"a": }', None), ("toml", "a =", None)),
        *(("bash", "linnet 'check", None), ("python", "run = (", None)),
        *(("bash", "make demo", "slow"), ("text", "3 classes", "is only output")),
        *(("bash", "make dmeo", None), ("bash", "pip install 'linnet[txt]'", None), ("bash", "sudo reboot", None)),
        ("bash", "python benchmarks/nothing.py", None),
        *(("python", f"{line}\n", None) for line in ("import linnet.nothing", "from linnet.search import Nothing")),
        ("python", "import linnet\nlinnet.open_runs('a')\n", None),
    ],
)
def test_the_checks_see_mistakes_of_a_block(language: str, text: str, reason: str | None) -> None:
    with pytest.raises(BlockError):
        check_block(Block("page.md", 1, language, text, reason))


def test_marks_belong_to_the_block_below() -> None:
    fence = "```bash\nmake demo\n```\n"
    blocks, wrong = read_blocks("page.md", f"<!-- not run: takes minutes -->\n{fence}\n{fence}")
    assert [block.reason for block in blocks] == ["takes minutes", None] and not wrong
    assert [block.line for block in blocks] == [2, 6]
    _, wrong = read_blocks("page.md", f"<!-- not run: takes minutes -->\n\n{fence}")
    assert "on no block" in wrong[0]
    _, wrong = read_blocks("page.md", "```bash\nmake demo\n")
    assert "not closed" in wrong[0]
    shown, _ = read_blocks("page.md", "````text\n```bash\n````\n\n    ```json\n    {}\n    ```\n")
    assert [(block.language, block.text.strip()) for block in shown] == [("text", "```bash"), ("json", "{}")]


@pytest.mark.parametrize(
    ("language", "text"),
    [
        *(
            ("bash", "make demo\n"),
            ("bash", "linnet evaluate runs/absent\n"),
            ("bash", "linnet train more method=bigspn\n"),
        ),
        *(("python", "raise ValueError\n"), ("python", "undefined\n")),
    ],
)
def test_what_fails_is_told(language: str, text: str, prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(prepared)
    with pytest.raises(BlockError if language == "bash" else (ValueError, NameError)):
        Player(monkeypatch).play(Block("page.md", 1, language, text))
