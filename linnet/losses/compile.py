"""C++ sources of the package, compiled once for this machine and loaded; without a compiler there is just none."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
from pathlib import Path

from linnet import files
from linnet.errors import RunError

__all__ = ["FLAGS", "CannotCompileError", "NoCompilerError", "load"]

_NATIVE = "-mcpu=native" if platform.machine() in {"arm64", "aarch64"} else "-march=native"
FLAGS = ("-std=c++17", "-O3", _NATIVE, "-ffp-contract=fast", "-fno-math-errno", "-shared", "-fPIC", "-pthread")
"""Of GCC and Clang. Products and sums may be contracted, nothing else of the arithmetic may be changed."""

_PATIENCE = 600  # seconds, for a machine that is busy; alone it takes two


class CannotCompileError(Exception):
    """A source could not be compiled or loaded here; says why."""


class NoCompilerError(CannotCompileError):
    """There is no C++ compiler."""


def load(source: Path, flags: tuple[str, ...] = FLAGS) -> ctypes.CDLL:
    """Compile `source`, a file of this package, unless that was done before, and load it.

    The library lies in a folder of the user's cache named by the SHA-256 of source, compiler, flags and processor. Only
    a folder and a file of the present user, which nobody else may write to, are loaded from. A library whose digest is
    not the one written beside it is built anew.

    Raises:
        NoCompilerError: neither $CXX nor c++, g++ or clang++ is there.
        CannotCompileError: the compiler fails, or the library cannot be kept or loaded; says why.
    """
    if os.name != "posix":
        raise NoCompilerError("compiled on POSIX systems alone")
    command = _compiler()
    try:
        named = "\0".join([source.read_text(encoding="utf-8"), _version(command), *command, *flags, *_processor()])
        key = hashlib.sha256(named.encode()).hexdigest()
        folder = files.private_folder(files.cache_folder() / "compiled" / key[:32])
        target = folder / f"{source.stem}.so"
        if not _intact(target):  # one that is there may lie where nothing can be written, not even the lock
            with files.locked(folder / "lock"):
                if not _intact(target):
                    _build([*command, *flags, str(source)], target)
        return ctypes.CDLL(str(target))
    except (OSError, RunError, subprocess.TimeoutExpired) as error:
        raise CannotCompileError(str(error)) from error


def _compiler() -> list[str]:
    given = shlex.split(os.environ.get("CXX", ""))
    for command in [given] if given else [["c++"], ["g++"], ["clang++"]]:
        if shutil.which(command[0]):
            return command
    raise NoCompilerError(f"no C++ compiler ({given[0] if given else 'c++, g++, clang++'})")


def _version(command: list[str]) -> str:
    return subprocess.run([*command, "--version"], check=False, capture_output=True, text=True, timeout=60).stdout


def _processor() -> list[str]:
    """What the machine's instructions follow from: a home folder may be shared by several."""
    table = Path("/proc/cpuinfo")
    lines = table.read_text(encoding="utf-8", errors="replace").splitlines() if table.is_file() else []
    features = next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())
    return [platform.system(), platform.machine(), features]


def _intact(target: Path) -> bool:
    """Whether the library is there, whole, and the present user's."""
    beside = _digest_of(target)
    if not target.is_file() or not beside.is_file():
        return False
    if any(path.lstat().st_uid != os.getuid() for path in (target, beside)):
        return False
    return beside.read_text(encoding="utf-8", errors="replace") == files.digest(target)


def _digest_of(target: Path) -> Path:
    return target.with_suffix(".sha256")


def _build(command: list[str], target: Path) -> None:
    with files.atomic_path(target) as aside:
        command = [*command, "-o", str(aside)]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_PATIENCE)
        if done.returncode:
            said = (done.stderr.strip() or f"exit status {done.returncode}").splitlines()
            raise CannotCompileError(f"{shlex.join(command)} failed: {said[0]}")
    files.write_text(_digest_of(target), files.digest(target))
