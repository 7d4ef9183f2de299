"""The documents' code: every block runs on a small prepared world, or says on the line above it why it does not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.docs.blocks import (
    Block,
    BlockError,
    all_blocks,
    check_imports,
    check_kind,
    check_names,
    check_others,
)  # fmt: skip
from tests.docs.world import Player, make_world

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
        check_kind(block)
        check_others(block)
        if block.language == "python":
            check_imports(block)
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
    shutil.copytree(prepared, world)
    monkeypatch.chdir(world)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("LINNET_DATA", raising=False)  # the world is all there is
    player = Player(monkeypatch)
    for block in (each for each in RUNNING if each.page == page):
        try:
            player.play(block)
        except Exception as error:
            pytest.fail(f"{block.place}: {type(error).__name__}: {error}", pytrace=not isinstance(error, BlockError))
