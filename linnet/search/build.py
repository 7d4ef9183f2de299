"""`build_index`: embeddings of a collection, written in parts, so that an interrupted call goes on where it was."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from linnet import files
from linnet.errors import RunError
from linnet.images.augment import normalise
from linnet.images.broken import Broken, raise_broken
from linnet.images.check import cores, file_stamp, image_paths
from linnet.images.memory import load_pixels
from linnet.manifest import Manifest
from linnet.predict.answers import Failed
from linnet.predict.decoding import Image, squares_ahead
from linnet.randomness import permutation
from linnet.search.card import CARD, Card, locked_index, read_card, write_card
from linnet.search.collection import Collection, read_collection
from linnet.search.embedders import BATCH, Embedder, bundle_embedder
from linnet.search.exact import greatest_loss
from linnet.search.index import Index
from linnet.search.parts import Parts
from linnet.search.rows import RowTable, write_rows
from linnet.training.bundle import Bundle
from linnet.training.environment import environment
from linnet.training.log import Bar
from linnet.training.run import Run

__all__ = [
    "build_index",
    "commit",
    "embed_rows",
    "extend",
    "identify",
    "made_of",
    "open_embedder",
    "stamps_of",
    "sweep",
]

_PART = 1024
"""Images whose vectors are written at once; what is lost when a call is broken off."""

_CALIBRATION = 512
"""Images that int8 is fitted and measured on."""

Integers = NDArray[np.int64]


def build_index(
    by: Embedder | Run | Bundle | Path | str,
    data: Collection | Manifest | Path | str | None,
    out: Path | str,
    *,
    root: Path | str | None = None,
    splits: Sequence[str] = (),
    engine: str = "auto",
    progress: bool | None = None,
) -> Index:
    """Embed images and write an index; a call that was broken off goes on, and one that is done is only opened.

    Args:
        by: what embeds: a run, its folder, a bundle, or an `Embedder`.
        data: images: a manifest, a collection, or what `datasets.load_data` takes; a run's own data when None.
        out: the folder to write.
        root: of the data, where it does not lie where it is thought to.
        splits: only rows of these; all when empty.
        engine: see `linnet.engines.open_engine`; for `by` that is no `Embedder`.
        progress: show a bar; None shows it on a terminal.

    Raises:
        RunError: `out` holds an index of something else.
        ImageError: images that cannot be decoded; names every one.
        LinnetError: what reading the run and the data raises.
    """
    run = Run.open(by) if isinstance(by, str | Path) else by if isinstance(by, Run) else None
    if isinstance(data, Manifest):
        collection = Collection.of(data)
    elif isinstance(data, Collection):
        collection = data
    else:
        collection = read_collection(run, data, root)
    collection = collection.on(splits)
    if isinstance(by, Embedder):
        embedder = by
    else:
        embedder = open_embedder(run or by, collection, engine)  # type: ignore[arg-type]
    out = files.make_folder(out)
    with locked_index(out):
        wanted = made_of(embedder, collection)
        if (out / CARD).exists():
            _check_same(out, read_card(out), wanted)
            return Index.open(out)
        extend(out, _first_card(embedder, collection), None, embedder, collection, wanted, progress)
    return Index.open(out, check=False)


def open_embedder(of: Run | Bundle, collection: Collection, engine: str = "auto") -> Embedder:
    """The embedder of a run or a bundle; int8 finds its ranges on images drawn from the collection, with their labels.

    Raises:
        LinnetError: the engine cannot be used, or a drawn image cannot be decoded.
    """
    if engine != "openvino-int8":
        return bundle_embedder(of, engine)
    bundle, manifest = of.bundle if isinstance(of, Run) else of, collection.manifest
    drawn = np.sort(permutation(len(collection.rows), 0, "int8")[:_CALIBRATION])
    rows = collection.rows[drawn]
    squares = load_pixels(manifest, rows, bundle.preprocessing, cores())
    images = normalise(torch.from_numpy(squares).permute(0, 3, 1, 2), bundle.preprocessing)
    labels = torch.from_numpy(manifest.targets[rows, -1])
    return bundle_embedder(of, engine, calibration=images, labels=labels)


def made_of(embedder: Embedder, collection: Collection) -> dict[str, Any]:
    """What must be the same for a call to go on where another was."""
    rows = hashlib.sha256(np.ascontiguousarray(collection.rows, "<i8").tobytes()).hexdigest()
    fingerprint = collection.manifest.fingerprint
    return {"embedder": embedder.identity, "asked": embedder.told.get("asked"), "data": fingerprint, "rows": rows}


def _check_same(out: Path, card: Card, wanted: dict[str, Any]) -> None:
    made = card.about.get("made_of")
    if made != wanted:
        raise RunError(
            f"{out} holds an index already, of other images or by another run; add to it with: linnet index {out} "
            "--add DATA, or give another --out"
        )


def _first_card(embedder: Embedder, collection: Collection) -> Card:
    """The card of an index without a row."""
    told = {"identity": embedder.identity, **embedder.told}
    told |= {"coarse_level": embedder.coarse_level, "coarse_classes": list(embedder.coarse_classes)}
    taxonomy = collection.manifest.taxonomy.to_json()
    return Card(embedder.dim, "vectors-1.f32", (), "rows-0.parquet", "", taxonomy, told, (), {})


def extend(
    out: Path,
    card: Card,
    table: RowTable | None,
    embedder: Embedder,
    collection: Collection,
    identity: dict[str, Any],
    progress: bool | None,
    targets: Integers | None = None,
) -> tuple[Card, RowTable]:
    """Embed a collection behind what a card speaks of, and write the card anew.

    Args:
        table: what the present rows are, None of an index without any.
        identity: what must be the same for a later call to go on where this one is broken off.
        targets: the classes (n, L) by the numbers of the card's taxonomy; the manifest's own when None.
    """
    manifest, rows = collection.manifest, collection.rows
    stamps = stamps_of(manifest, rows)
    parts = Parts(out, card.vectors, embedder.dim, card.rows, identity)
    done = parts.resume(lambda start, stop: identify(manifest, rows[start:stop], stamps[start:stop]))
    embed_rows(parts, embedder, manifest, rows, stamps, done, progress)
    source, sources = collection.source, list(card.sources)
    sources += [] if source in sources else [source]
    fresh = RowTable(
        manifest.images.take(rows).to_pylist(),
        [collection.splits[row] for row in rows.tolist()],
        np.full(len(rows), sources.index(source), np.int64),
        rows,
        stamps,
        manifest.targets[rows] if targets is None else targets,
        np.concatenate([np.empty(0, np.int64), *parts.coarse]),
    )
    grown = replace(
        card,
        parts=(*card.parts, *parts.parts),
        sources=tuple(sources),
        embedder=card.embedder | {"engine": {"name": embedder.engine.name, "precision": embedder.engine.precision}},
        about=card.about | environment(torch.device("cpu")) | {"made_of": identity},
    )
    whole = fresh if table is None else table.join(fresh)
    grown = commit(out, grown, whole)
    parts.done()
    return grown, whole


def commit(out: Path, card: Card, table: RowTable) -> Card:
    """Write the table of rows under the next free name, then the card, then remove what no card speaks of.

    An approximate index of other rows is no longer spoken of.
    """
    number = 1 + max((int(path.stem.partition("-")[2]) for path in out.glob("rows-*.parquet")), default=0)
    name = f"rows-{number}.parquet"
    sha = write_rows(out / name, table)
    card = replace(card, table=name, table_sha256=sha)
    vectors = np.empty((0, card.dim), np.float32)
    if card.rows:
        vectors = np.memmap(out / card.vectors, "<f4", mode="r", shape=(card.rows, card.dim))
    now = {"date": datetime.now(UTC).isoformat(timespec="seconds")}
    card = replace(card, lost=greatest_loss(vectors), approximate=None, about=card.about | now)
    write_card(out, card)
    sweep(out, card)
    return card


def sweep(out: Path, card: Card) -> None:
    """Remove vectors, tables and approximate indexes that a card does not speak of."""
    kept = {card.table, card.vectors, (card.approximate or {}).get("file")}
    for pattern in ("rows-*.parquet", "vectors-*.f32", "*.faiss"):
        for path in out.glob(pattern):
            if path.name not in kept:
                files.remove(path)


def embed_rows(
    parts: Parts,
    embedder: Embedder,
    manifest: Manifest,
    rows: Integers,
    stamps: Sequence[str],
    done: int,
    progress: bool | None,
) -> None:
    """Add the vectors of `rows` from the place `done` on.

    Raises:
        ImageError: images that cannot be decoded; the rest is decoded, too, so that all are named.
    """
    bar = Bar(len(rows), done, progress)
    bar.say("embedding")
    pixels = manifest.pixels
    images: list[Image] = [manifest.path(row) if pixels is None else pixels[row] for row in rows[done:].tolist()]
    broken: list[Broken] = []
    vectors: list[NDArray[np.float32]] = []
    coarse: list[Integers] = []
    at = done
    try:
        for batch in squares_ahead(images, embedder.preprocessing, BATCH, cores()):
            broken += [
                Broken(int(rows[at + place]), each.reason)
                for place, each in enumerate(batch)
                if isinstance(each, Failed)
            ]
            at += len(batch)
            bar.advance(len(batch))
            if broken:
                continue
            said = embedder(np.stack(batch))  # type: ignore[arg-type]
            vectors.append(said[0])
            coarse.append(said[1])
            if sum(map(len, vectors)) >= _PART or at == len(rows):
                start = at - sum(map(len, vectors))
                what = identify(manifest, rows[start:at], stamps[start:at])
                parts.add(np.concatenate(vectors), np.concatenate(coarse), what)
                vectors, coarse = [], []
    finally:
        bar.close()
    raise_broken(manifest, broken, len(rows))


def stamps_of(manifest: Manifest, rows: Integers) -> list[str]:
    """Size and time of change of each file, "" of pixels."""
    if manifest.pixels is not None:
        return [""] * len(rows)
    with ThreadPoolExecutor(8) as pool:
        return [
            "" if stamp is None else f"{stamp[0]} {stamp[1]}"
            for stamp in pool.map(file_stamp, image_paths(manifest, rows))
        ]


def identify(manifest: Manifest, rows: Integers, stamps: Sequence[str]) -> str:
    """What identifies the images of some rows: their names and files' times, or their pixels."""
    state = hashlib.sha256("\n".join(manifest.images.take(rows).to_pylist()).encode())
    state.update("\n".join(stamps).encode())
    if manifest.pixels is not None:
        state.update(np.ascontiguousarray(manifest.pixels[rows]).tobytes())
    return state.hexdigest()
