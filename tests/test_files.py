"""What the only file that writes files promises."""

from __future__ import annotations

import logging
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from linnet import files
from linnet.errors import RunError


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


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    """Threads of one process, or processes of the same number in two containers: each file is whole."""
    with files.atomic_path(tmp_path / "a.txt") as one:
        one.write_text("one")
        files.write_text(tmp_path / "a.txt", "other")
        assert (tmp_path / "a.txt").read_text() == "other" and one.read_text() == "one"
    assert (tmp_path / "a.txt").read_text() == "one"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_claimed_folder_is_refused_to_others(tmp_path: Path) -> None:
    """While it is held, whoever asks; not once it is free, and what was made and stayed empty is gone."""
    folder = tmp_path / "new" / "run"
    busy = pytest.raises(RunError, match=f"another process is writing a run to {folder}")
    with files.claimed(folder, "a run"):
        with busy, files.claimed(folder, "a run"):
            raise AssertionError
        assert folder.is_dir()
    assert not list(tmp_path.iterdir())
    with files.claimed(folder, "a run"):
        files.write_json(folder / "recipe.json", {})
    assert [path.name for path in folder.iterdir()] == ["recipe.json"]


def test_a_claim_falls_with_its_process(tmp_path: Path) -> None:
    """Killed, it leaves the lock file, which then holds nobody off."""
    program = f"""
import os, signal
from linnet import files
with files.claimed({str(tmp_path)!r}, "a run"):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", program], check=False)
    assert (tmp_path / "lock").exists()
    with files.claimed(tmp_path, "a run"):
        pass
    assert not list(tmp_path.iterdir())


def test_a_lock_that_was_removed_holds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opened it before its holder removed it, and locks it after, must take the file that is there now."""
    fcntl = pytest.importorskip("fcntl")
    lock, take = tmp_path / "lock", fcntl.flock

    def late(stream: object, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", take)
        lock.unlink()
        take(stream, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with files.claimed(tmp_path, "a run"):
        assert lock.exists()
        with pytest.raises(RunError, match="another process"), files.claimed(tmp_path, "a run"):
            raise AssertionError


def test_what_is_no_folder_cannot_be_claimed(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(RunError, match="cannot be written"), files.claimed(folder, "a run"):
            raise AssertionError


def test_where_no_folder_can_be_made_the_place_is_to_blame(tmp_path: Path) -> None:
    """Not Linnet, which would be a traceback: a file and a broken link are there already, /proc has no room."""
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    for target in (tmp_path / "file", tmp_path / "link", tmp_path / "link" / "run", tmp_path / "file" / "run"):
        with pytest.raises(NotADirectoryError):
            files.make_folder(target)
    assert files.make_folder(tmp_path / "new" / "run").is_dir()


def test_who_waits_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever finds it free is not; whoever waits gets it once it is."""
    lock, told, got = tmp_path / "lock", threading.Event(), threading.Event()
    caplog.set_level(logging.INFO, "linnet")

    def watch(_: logging.LogRecord) -> bool:
        told.set()
        return True

    def second() -> None:
        with files.locked(lock, "another call writes it"):
            got.set()

    other = threading.Thread(target=second)
    logging.getLogger("linnet").addFilter(watch)
    try:
        with files.locked(lock, "another call writes it"):
            assert not caplog.records
            other.start()
            assert told.wait(60) and not got.is_set()
        other.join()
    finally:
        logging.getLogger("linnet").removeFilter(watch)
    assert got.is_set()
    assert [each.message for each in caplog.records] == ["another call writes it; waiting for it to end"]
