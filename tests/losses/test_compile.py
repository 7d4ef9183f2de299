"""What is compiled once, kept in the user's cache, and loaded from nowhere else."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from linnet import files
from linnet.losses.compile import CannotCompileError, NoCompilerError, load

pytestmark = pytest.mark.skipif(not shutil.which("c++"), reason="no C++ compiler")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "answer.cpp"
    path.write_text('extern "C" int answer() { return 42; }\n')
    return path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a compiler that leaves a line in `calls` for each source."""
    compiler = tmp_path / "counting"
    compiler.write_text(f'#!/bin/sh\ncase "$1" in --version) ;; *) echo >> {tmp_path}/calls ;; esac\nexec c++ "$@"\n')
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "linnet" / "compiled"


def calls(cache: Path) -> int:
    return len((cache.parents[2] / "calls").read_text())


def library(cache: Path) -> Path:
    [found] = cache.rglob("*.so")
    return found


def test_compiled_once(source: Path, cache: Path) -> None:
    """Until the source is another."""
    assert [load(source).answer() for _ in range(2)] == [42, 42]
    assert calls(cache) == 1
    source.write_text(source.read_text().replace("42", "43"))
    assert load(source).answer() == 43
    assert (calls(cache), len(list(cache.iterdir()))) == (2, 2)


@pytest.mark.parametrize("damage", [b"", b"\x7fELF", None])
def test_a_damaged_library_is_built_anew(source: Path, cache: Path, damage: bytes | None) -> None:
    """Cut short, or without the digest that is written last."""
    load(source, flags := ("-shared", "-fPIC"))
    path = library(cache)
    # Under another name, as the one that is loaded must stay whole.
    path.replace(path.with_name("loaded"))
    path.write_bytes(b"" if damage is None else damage)
    if damage is None:
        path.with_suffix(".sha256").unlink()
    assert isinstance(load(source, flags), ctypes.CDLL)
    assert calls(cache) == 2


def test_a_library_is_loaded_from_where_nothing_can_be_written(
    source: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(source)

    def refuse(target: Path) -> None:
        raise PermissionError(13, "Permission denied", str(target))

    monkeypatch.setattr(files, "locked", refuse)
    assert load(source).answer() == 42
    assert calls(cache) == 1


def test_two_processes_build_one_library(source: Path, cache: Path) -> None:
    """One waits for the other."""
    code = (
        f"from pathlib import Path; from linnet.losses.compile import load; print(load(Path({str(source)!r})).answer())"
    )
    runs = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [run.communicate()[0] for run in runs] == ["42\n", "42\n"]
    assert calls(cache) == 1


def test_others_folders_and_files_are_refused(source: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who may write to the folder decides what is run."""
    load(source)
    folder = library(cache).parent
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o770)
    with pytest.raises(CannotCompileError, match="only its owner"):
        load(source)
    folder.chmod(0o700)
    monkeypatch.setattr(os, "getuid", lambda: folder.stat().st_uid + 1)
    with pytest.raises(CannotCompileError, match="only its owner"):
        load(source)


def test_what_the_compiler_says_is_said(source: Path, cache: Path) -> None:
    """And nothing is left behind that could be loaded."""
    source.write_text("no C++")
    with pytest.raises(CannotCompileError, match=r"answer\.cpp.* failed: .*error"):
        load(source)
    assert not list(cache.rglob("*.so"))


def test_a_cache_that_cannot_be_written(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file where the folder should be."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(CannotCompileError, match="file"):
        load(source)


def test_no_compiler(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """$CXX alone is looked for where it is set."""
    monkeypatch.setenv("CXX", "no-such-compiler -O3")
    with pytest.raises(NoCompilerError, match="no-such-compiler"):
        load(source)
