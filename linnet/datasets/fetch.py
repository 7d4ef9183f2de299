"""Where public data sets lie, whether they are the official ones, and how they are fetched."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from rich.console import Console
from rich.progress import DownloadColumn, Progress, TaskID, TransferSpeedColumn

from linnet import files
from linnet.errors import DataError

__all__ = ["check_md5", "data_root", "download", "find_file", "unpack_members"]

_ATTEMPTS = 5
_PIECE = 1 << 18


def data_root(root: Path | str | None = None) -> Path:
    """The folder that holds data sets: `root`, else the environment's LINNET_DATA, else ~/.cache/linnet."""
    if root is not None:
        return Path(root).expanduser()
    named = os.environ.get("LINNET_DATA")
    return Path(named).expanduser() if named else files.cache_folder()


def find_file(name: Path | str, root: Path | str | None = None) -> Path:
    """A file named from the working folder, or else from `root` or the folder that holds data sets.

    So a recipe can say weights = "weights/x.safetensors" and hold on every machine.

    Raises:
        DataError: it is in none of them; lists where it was looked for.
    """
    given = Path(name).expanduser()
    places = [given, *(data_root(folder) / given for folder in dict.fromkeys((root, None)))]
    for path in places:
        if path.is_file():
            return path
    looked = ", ".join(str(path) for path in dict.fromkeys(places))
    raise DataError(
        f"{name}: no such file (looked for {looked}); give its path, or put it below the folder that --root or the "
        "environment variable LINNET_DATA names"
    )


def check_md5(path: Path, expected: str, what: str) -> None:
    """Compare a file with the published md5.

    Raises:
        DataError: they differ; names the file, both sums and its length, and says to fetch it again.
    """
    found = files.digest(path, "md5")
    if found != expected:
        raise DataError(
            f"{path}: not the official {what}: its md5 is {found} (length {path.stat().st_size}), "
            f"the official one's is {expected}. It was cut short or changed; delete it and fetch it again"
        )


def download(url: str, target: Path, md5: str, what: str) -> None:
    """Fetch `url` to `target`, with a progress bar at a terminal; it appears once its md5 is right.

    A connection that breaks is taken up where it broke, up to five times; nothing stays behind on failure.

    Raises:
        DataError: the address cannot be reached, or what came is not the official file.
    """
    columns = *Progress.get_default_columns(), DownloadColumn(), TransferSpeedColumn()
    console = Console(stderr=True)
    with (
        files.atomic_path(target) as aside,
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress,
    ):
        task = progress.add_task(f"Downloading {target.name}", total=None)
        for _ in range(_ATTEMPTS):
            try:
                if _continue(url, aside, progress, task):
                    break
                reason = "the connection closed early"
            except HTTPError as error:
                answer = f"{error.code} {error.reason}"
                raise DataError(f"{url}: the server answers {answer}; {_by_hand(url, what)}") from None
            except (OSError, HTTPException) as error:
                reason = str(getattr(error, "reason", error))
        else:
            raise DataError(f"{url}: cannot be fetched ({reason}); {_by_hand(url, what)}")
        found = files.digest(aside, "md5")
        if found != md5:
            raise DataError(
                f"{url}: what came is not the official {what}: its md5 is {found} "
                f"(length {aside.stat().st_size}), the official one's is {md5}; {_by_hand(url, what)}"
            )


def _by_hand(url: str, what: str) -> str:
    return f"check the network and try again, or fetch the {what} from {url} by other means"


def _continue(url: str, aside: Path, progress: Progress, task: TaskID) -> bool:
    """Append to `aside` what is still missing; True when all that the server announced is there."""
    have = aside.stat().st_size if aside.exists() else 0
    request = Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with urlopen(request, timeout=60) as answer:
        resumes = answer.status == 206
        have = have if resumes else 0
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length else None
        progress.update(task, total=total, completed=have)
        with aside.open("ab" if resumes else "wb") as stream:
            while piece := answer.read(_PIECE):
                have += stream.write(piece)
                progress.update(task, completed=have)
    return total is None or have >= total


def unpack_members(archive: Path, wanted: Mapping[str, Path]) -> None:
    """Write the named regular files of a tar archive to the given paths; paths in the archive never decide.

    Raises:
        DataError: the archive cannot be read or lacks one of them.
    """
    try:
        with tarfile.open(archive) as tar:
            for name, target in wanted.items():
                content = tar.extractfile(tar.getmember(name))
                if content is None:
                    raise DataError(f"{archive}: {name} is not a regular file in this archive")
                files.write_bytes(target, content.read())
    except KeyError as error:
        raise DataError(f"{archive}: {error.args[0]}; this is not the archive that was expected") from None
    except tarfile.TarError as error:
        raise DataError(f"{archive}: cannot be read as a tar archive ({error}); delete it and fetch it again") from None
