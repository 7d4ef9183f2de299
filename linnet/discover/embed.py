"""Embeddings of a manifest's images: by a run's bundle, or the pixels themselves; and the manifest found again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linnet import files
from linnet.datasets import KNOWN, load_data
from linnet.discover.model import Discovery
from linnet.discover.subjects import Subjects
from linnet.engines import open_engine
from linnet.errors import ManifestError, RunError
from linnet.images import ImageSource, Preprocessing
from linnet.images.check import cores
from linnet.images.memory import load_pixels
from linnet.manifest import Manifest
from linnet.manifest_read import normal_split
from linnet.search.collection import read_again
from linnet.search.index import Index
from linnet.training.device import decoding_workers, find_place
from linnet.training.log import Bar
from linnet.training.run import Run, marks

__all__ = ["Data", "index_subjects", "manifest_of", "pixel_subjects", "read_data", "run_subjects"]

_BLOCK = 8192
"""Images whose embeddings are kept at once; what is lost when a call is broken off."""

Embedder = Callable[[NDArray[np.int64]], NDArray[np.float32]]


@dataclass(frozen=True)
class Data:
    """A manifest, and how to find it again.

    Attributes:
        coarse: the number of the level whose classes are looked into.
        told: JSON content: `data`, `root` and `reading`, or the `run` whose data it is.
    """

    manifest: Manifest
    coarse: int
    told: dict[str, Any] = field(default_factory=dict)


def read_data(run: Run | None, data: str | None, root: str | None, reading: dict[str, Any], coarse: str | None) -> Data:
    """The images to look into: those of `data`, else a run's own.

    Args:
        data: a known data set, a table or a folder.
        root: see `load_data`; `reading` too.
        coarse: a level; None for the run's, where the data has a level of that name, else the coarsest.

    Raises:
        ManifestError: neither is given.
        TaxonomyError: no such level.
    """
    told: dict[str, Any] = {}
    if data is not None:
        manifest = load_data(data, root, **reading)
        named = data in KNOWN
        told = {"data": data if named else str(Path(data).absolute()), "root": root, "reading": reading}
    elif run is not None:
        manifest, told = run.load().manifest, {"run": str(run.folder.absolute()), "root": root}
    else:
        raise ManifestError("say which images to look into: a known data set, a table, or a folder")
    levels = manifest.taxonomy.levels
    usual: str | int = 0
    if run is not None:
        trained = run.recipe.coarse or run.bundle.taxonomy.levels[run.bundle.coarse]
        usual = trained if trained in levels else 0
    return Data(manifest, manifest.taxonomy.level(usual if coarse is None else coarse), told)


def manifest_of(discovery: Discovery, data: str | None = None, root: str | None = None) -> Manifest:
    """The manifest that was clustered, read again.

    Args:
        data, root: where it lies now, when it was moved.

    Raises:
        RunError: it is not there any more, or has changed since.
    """
    source = discovery.card.get("source", {})
    root = root or source.get("root")
    if data is None and source.get("run"):
        run = Run.open(source["run"])
        run.recipe = run.recipe.change(root=root) if root else run.recipe
        manifest = run.load().manifest
    elif data or source.get("data"):
        manifest = load_data(data or source["data"], root, **source.get("reading", {}))
    else:
        raise RunError("this discovery was made of arrays; give the table of its images as --data")
    if source.get("fingerprint") not in (None, manifest.fingerprint):
        raise RunError(
            f"{manifest.source}: images or labels have changed since the discovery was made; put the old table back, "
            "or discover again"
        )
    return manifest


def _rows(data: Data, on: str | None) -> NDArray[np.int64]:
    """The rows of a split, or all, that have a coarse label.

    Raises:
        ManifestError: there are none.
    """
    manifest = data.manifest
    rows = manifest.rows(normal_split(on) if on else None)
    known: NDArray[np.int64] = rows[manifest.targets[rows, data.coarse] >= 0]
    if not len(known):
        level = manifest.taxonomy.levels[data.coarse]
        raise ManifestError(f"{manifest.source}: none of {len(rows)} images has a {level} label; label them coarsely")
    return known


def run_subjects(
    run: Run,
    data: Data,
    on: str | None = None,
    *,
    engine: str = "torch",
    keep: Path | None = None,
    progress: bool | None = None,
) -> Subjects:
    """Images with the embeddings of a run's bundle, float32.

    Args:
        on: a split; None for all images with a coarse label.
        engine: what runs the bundle, see `linnet.engines.open_engine`; torch gives the same bits everywhere.
        keep: a folder for embeddings that are done; a call that was broken off goes on from there.
        progress: show a bar; None shows it on a terminal.

    Raises:
        ManifestError: no image to look into.
        ImageError: images that cannot be decoded; names them.
    """
    rows, bundle = _rows(data, on), run.bundle
    place = find_place(run.recipe.change(precision="fp32"))
    runs = open_engine(bundle, engine, device=place.device if engine == "torch" else None)
    workers = decoding_workers(run.recipe, place)

    def embed(part: NDArray[np.int64]) -> NDArray[np.float32]:
        source = ImageSource(
            data.manifest,
            part,
            bundle.preprocessing,
            device=place.device,
            workers=workers,
            channels_last=run.recipe.channels_last,
        )
        found = [runs(batch.images).embedding.numpy() for batch in source.sequential(run.recipe.batch_size)]
        source.close()
        return np.concatenate(found)

    told = {
        "embedding": run.recipe.row or run.recipe.method,
        "bundle_sha256": bundle.card["weights_sha256"],
        "engine": engine,
        "start": bundle.card["start"],
        "dataset": run.recipe.dataset or run.recipe.data,
        "scale": run.recipe.scale or "own",
        "marks": marks(run.recipe, bundle.card["start"]),
    }
    return _subjects(data, rows, on, told, embed, keep, progress)


def index_subjects(index: Index, on: str | None = None, coarse: str | None = None) -> Subjects:
    """The images of an index that have a coarse label, with its vectors.

    Args:
        on: a split of the index; None for all.
        coarse: a level; None for the coarse level of the bundle that made the index.

    Raises:
        RunError: the index is of several sources, or of vectors without images; or its data has changed.
        ManifestError: no image to look into.
    """
    sources = index.card.sources
    if len(sources) != 1 or sources[0].get("vectors"):
        what = "vectors without images" if sources and sources[0].get("vectors") else f"{len(sources)} sources"
        raise RunError(f"{index.folder} is made of {what}; discover in one table of images: linnet discover RUN TABLE")
    told, manifest = sources[0], read_again(sources[0])
    level = manifest.taxonomy.level(index.taxonomy.levels[index.coarse_level] if coarse is None else coarse)
    rows = index.table.rows
    wanted = manifest.targets[rows, level] >= 0
    if on is not None:
        wanted &= np.array(index.splits) == normal_split(on)
    places = np.flatnonzero(wanted)
    if not len(places):
        there = ", ".join(sorted(set(index.splits) - {""})) or "none"
        raise ManifestError(f"{index.folder}: no image with a {manifest.taxonomy.levels[level]} label; splits: {there}")
    found = {"run": told["run"]} if told.get("run") else {"data": told["data"], "reading": told.get("reading", {})}
    source = {
        **found,
        "root": told.get("data_root"),
        "embedding": str(index.card.embedder.get("method", "index")),
        "bundle_sha256": index.bundle_sha256,
        "index": str(index.folder.absolute()),
        "start": "as the index has it",
        "scale": "own",
        "marks": [],
        "fingerprint": manifest.fingerprint,
        "coarse_level": manifest.taxonomy.levels[level],
        "on": on,
    }
    return _told(manifest, level, rows[places], np.array(index.vectors[places]), source, np.array(index.splits)[places])


def pixel_subjects(
    data: Data, side: int = 32, on: str | None = None, *, keep: Path | None = None, progress: bool | None = None
) -> Subjects:
    """Images with their pixels as embedding, scaled to `side` and cut square: float32 (N, 3 side^2), 0 to 1.

    What any embedding must beat. Errors as of `run_subjects`.
    """
    preprocessing = Preprocessing(size=side)

    def embed(part: NDArray[np.int64]) -> NDArray[np.float32]:
        pixels = load_pixels(data.manifest, part, preprocessing, cores())
        return pixels.reshape(len(part), -1).astype(np.float32) / np.float32(255)

    told = {"embedding": "pixels", "side": side, "start": "scratch", "scale": "own", "marks": []}
    return _subjects(data, _rows(data, on), on, told, embed, keep, progress)


def _subjects(
    data: Data,
    rows: NDArray[np.int64],
    on: str | None,
    told: dict[str, Any],
    embed: Embedder,
    keep: Path | None,
    progress: bool | None,
) -> Subjects:
    manifest, taxonomy = data.manifest, data.manifest.taxonomy
    source = {
        **data.told,
        **told,
        "fingerprint": manifest.fingerprint,
        "coarse_level": taxonomy.levels[data.coarse],
        "on": on,
    }
    embedding = np.concatenate(list(_blocks(rows, source, embed, keep, progress)))
    names = np.array([*manifest.split_names, ""])[manifest.split_codes[rows]]
    return _told(manifest, data.coarse, rows, embedding, source, names)


def _told(
    manifest: Manifest,
    coarse: int,
    rows: NDArray[np.int64],
    embedding: NDArray[np.float32],
    source: dict[str, Any],
    splits: NDArray[np.str_],
) -> Subjects:
    """Rows of a manifest with their embeddings (n, D), and what is known of them."""
    taxonomy = manifest.taxonomy
    deeper = coarse + 1 < len(taxonomy.levels)
    return Subjects(
        embedding,
        manifest.images.take(rows).to_pylist(),
        rows,
        splits.tolist(),
        taxonomy.classes[coarse],
        manifest.targets[rows, coarse],
        taxonomy.classes[coarse + 1] if deeper else (),
        manifest.targets[rows, coarse + 1] if deeper else np.full(len(rows), -1, np.int64),
        source,
    )


def _blocks(
    rows: NDArray[np.int64], source: dict[str, Any], embed: Embedder, keep: Path | None, progress: bool | None
) -> Iterator[NDArray[np.float32]]:
    """Embeddings block by block, those from `keep` that lie there for the same images and bundle."""
    from safetensors.numpy import load_file, save_file

    what = json.dumps(
        [source["fingerprint"], source.get("bundle_sha256"), source.get("engine"), source.get("side")]
    ).encode()
    bar = Bar(len(rows), 0, progress)
    bar.say("embedding")
    try:
        for start in range(0, len(rows), _BLOCK):
            part = rows[start : start + _BLOCK]
            sha = hashlib.sha256(what + part.tobytes()).hexdigest()[:24]
            file = None if keep is None else keep / f"embedding-{sha}.safetensors"
            if file is not None and file.exists():
                found = load_file(file)["embedding"]
            else:
                found = embed(part)
                if file is not None:
                    with files.atomic_path(file) as aside:
                        save_file({"embedding": found}, aside)
            bar.advance(len(part))
            yield found
    finally:
        bar.close()
