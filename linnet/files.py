"""The only file that writes files: whole, synced, and renamed into place, so that a crash leaves the old or the new."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from errno import ENOTDIR
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from linnet.errors import RunError

__all__ = [
    "append_bytes",
    "append_line",
    "atomic_path",
    "atomic_text",
    "cache_folder",
    "claimed",
    "digest",
    "inside",
    "locked",
    "make_folder",
    "private_folder",
    "read_json",
    "remove",
    "remove_folder",
    "remove_unfinished",
    "set_aside",
    "truncate",
    "write_bytes",
    "write_json",
    "write_text",
]

_logger = logging.getLogger("linnet")


@contextmanager
def atomic_path(target: Path | str) -> Iterator[Path]:
    """Yield a path beside `target` to write to; on success sync it and rename it over `target`, else delete it.

    For writers that want a path of their own (safetensors, pyarrow, Pillow, matplotlib). The temporary name keeps
    the target's suffix, because such writers choose the format by it. Whoever may read other new files in that folder
    may read this one, also where the writer keeps it to its owner (safetensors).
    """
    target = Path(target)
    make_folder(target.parent)
    # Not by the process alone: containers that share a folder have processes of the same number.
    aside = target.with_name(f".{target.stem}.{secrets.token_hex(4)}.tmp{target.suffix}")
    usual = _usual_mode(aside)
    try:
        yield aside
        if aside.is_file():
            aside.chmod(stat.S_IMODE(aside.stat().st_mode) | usual)
        _sync(aside)
        aside.replace(target)
        _sync(target.parent)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def atomic_text(target: Path | str) -> Iterator[TextIO]:
    """Yield a UTF-8 stream that becomes `target` when all went well; file names keep bytes that are no UTF-8."""
    with (
        atomic_path(target) as aside,
        aside.open("w", encoding="utf-8", errors="surrogateescape", newline="") as stream,
    ):
        yield stream


def _usual_mode(absent: Path) -> int:
    """The permissions that a new file gets there: by the umask, or what the folder says (asking alters neither)."""
    absent.touch()
    try:
        return stat.S_IMODE(absent.stat().st_mode)
    finally:
        absent.unlink()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(target: Path | str, content: bytes) -> None:
    """Write `content` to `target` atomically."""
    with atomic_path(target) as aside:
        aside.write_bytes(content)


def write_text(target: Path | str, content: str) -> None:
    """Write UTF-8 text to `target` atomically."""
    write_bytes(target, content.encode())


def write_json(target: Path | str, content: Any) -> None:
    """Write `content` as indented JSON to `target` atomically."""
    write_text(target, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(source: Path | str) -> Any:
    """Read a JSON file.

    Raises:
        RunError: the file is missing or is not JSON; names the file.
    """
    source = Path(source)
    try:
        return json.loads(source.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"{source}: no such file") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RunError(f"{source}: not a JSON file ({error}); it was changed by hand or cut short") from None


def append_line(target: Path | str, line: str) -> int:
    """Append one line to `target` (made when absent), sync it, and return the file's new length in bytes."""
    target = Path(target)
    make_folder(target.parent)
    with target.open("ab") as stream:
        stream.write(line.encode() + b"\n")
        stream.flush()
        os.fsync(stream.fileno())
        return stream.tell()


def append_bytes(target: Path | str, pieces: Iterable[bytes | memoryview], length: int) -> int:
    """Write `pieces` behind the first `length` bytes of `target`, in place of what lies there; return its length."""
    target = Path(target)
    make_folder(target.parent)
    with target.open("r+b" if target.exists() else "wb") as stream:
        stream.truncate(length)
        stream.seek(length)
        for piece in pieces:
            stream.write(piece)
        stream.flush()
        os.fsync(stream.fileno())
        return stream.tell()


def truncate(target: Path | str, length: int) -> None:
    """Cut `target` back to `length` bytes: what a resumed run does with lines written after its checkpoint."""
    target = Path(target)
    if target.exists() and target.stat().st_size > length:
        os.truncate(target, length)


def remove(target: Path | str) -> None:
    """Delete a file if it is there."""
    Path(target).unlink(missing_ok=True)


def remove_folder(target: Path | str) -> None:
    """Delete a folder and all that is in it, if it is there; a link to one is left alone."""
    target = Path(target)
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)


def remove_unfinished(folder: Path | str) -> None:
    """Delete what writers left half written in a folder when they were killed; only for who holds the folder."""
    for pattern in (".*.tmp.*", ".tmp??????"):  # ours, and those that safetensors renames to ours
        for path in Path(folder).glob(pattern):
            remove(path)


def set_aside(target: Path | str) -> Path:
    """Rename a file out of the way, 'a.json' to the first free one of 'a-1.json', 'a-2.json' ...; return its path."""
    target = Path(target)
    number = 1
    while (free := target.with_name(f"{target.stem}-{number}{target.suffix}")).exists():
        number += 1
    target.rename(free)
    _sync(target.parent)
    return free


def make_folder(target: Path | str) -> Path:
    """Make a folder and its parents, and return its path.

    Raises:
        OSError: of the kind that tells of the place: what the system calls absent (in /proc) or there already (a file,
            a broken link) is one, too, for the parents would have been made, and a folder that is there is kept.
    """
    target = Path(target)
    try:
        target.mkdir(parents=True, exist_ok=True)
    except (FileNotFoundError, FileExistsError) as error:
        raise NotADirectoryError(ENOTDIR, "no folder can be made there", error.filename) from None
    return target


def private_folder(target: Path | str) -> Path:
    """Make a folder that nobody else may write to, and its parents, and return its path.

    Raises:
        RunError: the folder is there and another user owns it or may write to it.
    """
    target = Path(target)
    make_folder(target.parent)
    target.mkdir(mode=0o700, exist_ok=True)
    status = target.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise RunError(f"{target}: must be a folder that only its owner, the present user, may write to; remove it")
    return target


@contextmanager
def locked(target: Path | str, meanwhile: str = "") -> Iterator[None]:
    """Hold the lock file `target`, made when absent: one process at a time, others wait.

    Args:
        meanwhile: logged when there is a wait: what the other process does, such as "another call writes this index".
    """
    import fcntl  # not on every system

    with Path(target).open("ab") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if meanwhile:
                _logger.info("%s; waiting for it to end", meanwhile)
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


@contextmanager
def claimed(folder: Path | str, what: str) -> Iterator[None]:
    """Hold a folder, made when absent, while `what` is written to it; others do not wait but are refused.

    The lock falls with the process, however that ends. Folders that were made here and stay empty are removed.

    Raises:
        RunError: another process holds the folder, or it cannot be written.
    """
    folder = Path(folder)
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    lock = folder / "lock"
    try:
        held = _hold(lock)
    except BlockingIOError:
        raise RunError(f"another process is writing {what} to {folder}; wait for it, or give another --out") from None
    except OSError as error:
        raise RunError(f"{folder} cannot be written ({error.strerror or error}); give another --out") from None
    try:
        yield
    finally:
        remove(lock)
        held.close()
        with suppress(OSError):  # the first that is not empty
            for each in made:
                each.rmdir()


def _hold(lock: Path) -> BinaryIO:
    """Open and lock a file that its holder removes; not locked where nothing can be.

    Raises:
        BlockingIOError: another process holds it.
    """
    while True:
        make_folder(lock.parent)
        stream = lock.open("ab")
        try:
            import fcntl  # not on every system

            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(stream.fileno()), lock.stat()):
                return stream
        except BlockingIOError:
            stream.close()
            raise
        except FileNotFoundError:
            pass
        except (OSError, ImportError):
            return stream
        stream.close()  # its holder removed it after it had been opened here


def cache_folder() -> Path:
    """Where Linnet keeps what it can make again: `linnet` under $XDG_CACHE_HOME, by default ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "linnet"


def digest(source: Path | str, algorithm: str = "sha256") -> str:
    """Hexadecimal digest of a file's content, read in pieces."""
    with Path(source).open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()


def inside(folder: Path | str, name: str) -> Path:
    """`folder/name`, refused when it would leave `folder` (absolute names, '..', links that lead out).

    Raises:
        RunError: the name leads out of the folder.
    """
    folder = Path(folder).resolve()
    path = (folder / name).resolve()
    if not path.is_relative_to(folder):
        raise RunError(f"{name!r} leads out of {folder}; names must stay inside that folder")
    return path
