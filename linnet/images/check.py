"""The check before training: every image is decoded once, and all that cannot be are named in one error."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from linnet.files import atomic_path
from linnet.images.broken import Broken, raise_broken
from linnet.images.decode import BrokenImageError, decode, open_image
from linnet.images.memory import in_threads
from linnet.manifest import Manifest

__all__ = ["CACHE_NAME", "check_images"]

CACHE_NAME = "checked-images.parquet"
"""The cache's file name: paths, sizes and times of change of images that were found whole."""

Stamp = tuple[int, int]
"""Bytes, and time of last change in nanoseconds, of a file."""


def check_images(
    manifest: Manifest,
    rows: NDArray[np.int64] | None = None,
    workers: int = 0,
    progress: bool = False,
    *,
    cache: Path | None = None,
) -> None:
    """Decode the images of `rows` (default: all) fully; return when every one is whole.

    Args:
        manifest: the images; one that comes as arrays has nothing to check.
        rows: int64 (n,), rows of the manifest.
        workers: decoding threads; 0 takes one for each core this process may use.
        progress: show a bar, on a terminal only.
        cache: folder where whole images are remembered by path, size and time of change, so that the
            next check decodes only what is new or changed.

    Raises:
        ImageError: some are missing, empty, truncated, no images, or larger than Pillow's limit on
            pixels; names them with their rows and says what to do.
    """
    if manifest.pixels is not None:
        return
    chosen = np.arange(len(manifest)) if rows is None else np.asarray(rows, dtype=np.int64)
    paths = [str(manifest.path(row).absolute()) for row in chosen.tolist()]
    with ThreadPoolExecutor(8) as pool:
        stamps = list(pool.map(_stamp, paths))
    known = _read_cache(cache)
    places = [place for place, stamp in enumerate(stamps) if stamp is None or known.get(paths[place]) != stamp]
    reasons = in_threads(lambda place: _reason(paths[place]), places, workers or _cores())
    broken: list[Broken] = []
    with _bar(len(places), progress) as step:
        for place, reason in zip(places, reasons, strict=True):
            stamp = stamps[place]
            if reason is not None:
                broken.append(Broken(int(chosen[place]), reason))
            elif stamp is not None:
                known[paths[place]] = stamp
            step()
    if places:
        _write_cache(cache, known)
    raise_broken(manifest, broken, len(chosen))


def _stamp(path: str) -> Stamp | None:
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _reason(path: str) -> str | None:
    """Why an image cannot be used, None when it can."""
    try:
        decode(open_image(path))
    except BrokenImageError as error:
        return str(error)
    return None


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _bar(total: int, wanted: bool) -> Iterator[Callable[[], None]]:
    console = Console(stderr=True)
    columns = TextColumn("checking images"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    shown = wanted and console.is_terminal and total > 0
    with Progress(*columns, console=console, transient=True, disable=not shown) as bar:
        task = bar.add_task("", total=total)
        yield lambda: bar.advance(task)


def _read_cache(folder: Path | None) -> dict[str, Stamp]:
    """Stamps of whole images by path; a cache that cannot be read is an empty one."""
    if folder is None:
        return {}
    try:
        columns = pq.read_table(Path(folder) / CACHE_NAME, columns=["path", "bytes", "changed_ns"]).to_pydict()
    except (OSError, pa.ArrowException):
        return {}
    return dict(zip(columns["path"], zip(columns["bytes"], columns["changed_ns"], strict=True), strict=True))


def _write_cache(folder: Path | None, known: dict[str, Stamp]) -> None:
    """Remember whole images; a folder that cannot be written costs the next check time, and nothing else."""
    if folder is None:
        return
    table = pa.table(
        {
            "path": pa.array(list(known), pa.string()),
            "bytes": pa.array([size for size, _ in known.values()], pa.int64()),
            "changed_ns": pa.array([changed for _, changed in known.values()], pa.int64()),
        }
    )
    with suppress(OSError), atomic_path(Path(folder) / CACHE_NAME) as aside:
        pq.write_table(table, aside)
