"""What the only file that writes files promises."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from linnet import files


@pytest.fixture(params=[0o022, 0o027, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_every_file_can_be_read_as_the_umask_says(umask: int, tmp_path: Path) -> None:
    """Whatever writes it: safetensors gives its files to their owner alone."""
    with files.atomic_path(tmp_path / "model.safetensors") as aside:
        save_file({"weights": np.ones(3)}, aside)
    files.write_json(tmp_path / "model.json", {})
    files.append_line(tmp_path / "lines.jsonl", "{}")
    for name in ("model.safetensors", "model.json", "lines.jsonl"):
        assert mode(tmp_path / name) == 0o666 & ~umask, name
    assert mode(files.private_folder(tmp_path / "private")) == 0o700 & ~umask


def test_a_program_stays_one(tmp_path: Path) -> None:
    with files.atomic_path(tmp_path / "program") as aside:
        aside.write_text("#!/bin/sh\n")
        aside.chmod(0o755)
    assert mode(tmp_path / "program") & stat.S_IXUSR


def test_what_fails_leaves_nothing(tmp_path: Path) -> None:
    """A writer that raises, and one that writes nothing."""
    with pytest.raises(ValueError, match="no"), files.atomic_path(tmp_path / "a") as aside:
        aside.write_text("half")
        raise ValueError("no")
    with pytest.raises(FileNotFoundError), files.atomic_path(tmp_path / "a"):
        pass
    assert not list(tmp_path.iterdir())
