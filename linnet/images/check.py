"""The pass before training: every image is decoded once, for a cache too, and all broken ones named in one error."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from linnet.files import atomic_path, locked, make_folder
from linnet.images.broken import Broken, raise_broken
from linnet.images.cache import ImageCache
from linnet.images.cache_file import Stamp, Writer
from linnet.images.decode import BrokenImageError, decode, open_image
from linnet.images.memory import in_threads
from linnet.images.resize import Pixels
from linnet.manifest import Manifest

__all__ = ["CACHE_NAME", "check_images", "cores", "file_stamp", "image_bar", "image_paths"]

CACHE_NAME = "checked-images.parquet"
"""The cache's file name: paths, sizes and times of change of images that were found whole."""

_logger = logging.getLogger("linnet")


def check_images(
    manifest: Manifest,
    rows: NDArray[np.int64] | None = None,
    workers: int = 0,
    progress: bool = False,
    *,
    cache: Path | None = None,
    keep: ImageCache | None = None,
) -> None:
    """Decode the images of `rows` (default: all) fully; return when every one is whole.

    Args:
        manifest: the images; one that comes as arrays has nothing to check.
        rows: int64 (n,), rows of the manifest.
        workers: decoding threads; 0 takes one for each core this process may use.
        progress: show a bar, on a terminal only.
        cache: folder where whole images are remembered by path, size and time of change, so that the
            next check decodes only what is new or changed.
        keep: where the working images go that it lacks, so that the one pass serves both.

    Raises:
        ImageError: some are missing, empty, truncated, no images, or larger than Pillow's limit on
            pixels; names them with their rows and says what to do.
        RecipeError: `keep` cannot be written.
    """
    if manifest.pixels is not None:
        return
    chosen = np.arange(len(manifest)) if rows is None else np.asarray(rows, dtype=np.int64)
    paths = image_paths(manifest, chosen)
    with ThreadPoolExecutor(8) as pool:
        stamps = list(pool.map(file_stamp, paths))
    broken: list[Broken] = []
    with _alone(cache, manifest.root):
        known = _read_cache(cache)
        pairs = zip(paths, stamps, strict=True)
        unseen = np.asarray([stamp is None or known.get(path) != stamp for path, stamp in pairs])
        with _keeping(keep, paths, stamps) as (wanted, writer):
            places = np.flatnonzero(unseen if keep is None else wanted).tolist()  # what is kept was whole

            def look(place: int) -> tuple[str | None, Pixels | None]:
                return _look(paths[place], keep if wanted[place] else None)

            with image_bar("checking images", len(places), progress) as step:
                found = in_threads(look, places, workers or cores(), block=256)
                for place, (reason, pixels) in zip(places, found, strict=True):
                    stamp = stamps[place]
                    if reason is not None:
                        broken.append(Broken(int(chosen[place]), reason))
                    elif stamp is not None:
                        known[paths[place]] = stamp
                        if writer is not None and pixels is not None:
                            writer.add(paths[place], stamp, pixels)
                    step()
        if places:
            _write_cache(cache, known)
    raise_broken(manifest, broken, len(chosen))


@contextmanager
def _alone(cache: Path | None, root: Path) -> Iterator[None]:
    """One process at a time for images under one root: the others of a run then find what it found.

    A folder that cannot be written, or where nothing can be locked, costs time and nothing else.
    """
    with ExitStack() as held:
        if cache is not None:
            name = hashlib.sha256(str(root.absolute()).encode()).hexdigest()[:16]
            with suppress(OSError, ImportError):
                held.enter_context(locked(make_folder(cache) / f"check-{name}.lock"))
        yield


def image_paths(manifest: Manifest, rows: NDArray[np.int64]) -> list[str]:
    """Absolute paths of some rows' files, as the records of checked and of kept images name them."""
    return [str(manifest.path(row).absolute()) for row in rows.tolist()]


@contextmanager
def _keeping(
    keep: ImageCache | None, paths: list[str], stamps: list[Stamp | None]
) -> Iterator[tuple[NDArray[np.bool_], Writer | None]]:
    """Which images are to be kept, and a writer for them; alone at it, and only where there are any."""
    wanted = np.zeros(len(paths), np.bool_) if keep is None else keep.lacking(paths, stamps)
    if keep is None or not wanted.any():
        yield wanted, None
        return
    _announce(keep, paths, wanted)
    with keep.writing() as writer:
        yield keep.lacking(paths, stamps), writer  # another process may have added some meanwhile


def _announce(keep: ImageCache, paths: list[str], wanted: NDArray[np.bool_]) -> None:
    lacking = [paths[place] for place in np.flatnonzero(wanted)]
    size = keep.estimate(lacking) / 1e9
    _logger.warning(
        "keeping %s images, %d pixels at the shorter side, for this and later runs: about %.1f GB in %s",
        f"{len(lacking):,}",
        keep.side,
        size,
        keep.folder,
    )


def file_stamp(path: str) -> Stamp | None:
    """Size and time of change of a file; None where there is none."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _look(path: str, keep: ImageCache | None) -> tuple[str | None, Pixels | None]:
    """Why an image cannot be used, None when it can; and the working image, where one is to be kept."""
    try:
        image = open_image(path)
        if keep is not None:
            return None, keep.working(image)
        decode(image)
    except BrokenImageError as error:
        return str(error), None
    return None, None


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def image_bar(told: str, total: int, wanted: bool) -> Iterator[Callable[[], None]]:
    """A bar of `total` steps on stderr where that is a terminal and one is `wanted`; yields what takes a step."""
    console = Console(stderr=True)
    columns = TextColumn(told), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
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
