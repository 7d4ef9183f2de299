"""A discovery on disk: `discovery.json`, and beside it the arrays that it names with their checksums.

Arrays are written under the name of their content and the JSON file last, so that a crash leaves the old or the new.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linnet import files
from linnet.discover.model import Cluster, Discovery
from linnet.errors import RunError

__all__ = ["FORMAT", "card_path", "open_discovery", "save_discovery"]

FORMAT = 1
"""The version of the folder that this Linnet reads and writes."""

_CARD = "discovery.json"


def card_path(folder: Path | str) -> Path:
    """The file of a discovery's folder that says that it holds one; written last."""
    return Path(folder) / _CARD


def save_discovery(discovery: Discovery, folder: Path | str) -> None:
    """Write a discovery to a folder, atomically; one that lies there is replaced."""
    folder = files.make_folder(folder)
    lists = {name: list(getattr(discovery, name)) for name in ("images", "splits", "coarse_names", "fine_names")}
    arrays = {name: getattr(discovery, name) for name in ("rows", "coarse", "fine")}
    written = {
        "images": _put(folder, "images", json.dumps(lists, ensure_ascii=False).encode(), "json"),
        "arrays": _put_arrays(folder, "arrays", arrays),
        "vectors": _put_arrays(folder, "vectors", {"vectors": discovery.vectors}),
        "labels": _put_arrays(folder, "labels", {"cluster": discovery.cluster}),
    }
    clusters = {
        name: [asdict(each) for each in there]
        for name, there in zip(discovery.coarse_names, discovery.clusters, strict=True)
    }
    card = {"format": FORMAT, "images": len(discovery), "clusters": clusters, "files": written, **_rest(discovery)}
    files.write_json(card_path(folder), card)
    kept = {each["file"] for each in written.values()}
    for kind in written:  # what an earlier state had
        for old in folder.glob(f"{kind}-*"):
            if old.name not in kept:
                files.remove(old)


def _rest(discovery: Discovery) -> dict[str, Any]:
    return {name: discovery.card.get(name, {}) for name in ("source", "settings", "tried")}


def _put(folder: Path, kind: str, content: bytes, suffix: str) -> dict[str, str]:
    """Write content under the name of its checksum, unless it is there."""
    sha = hashlib.sha256(content).hexdigest()
    path = folder / f"{kind}-{sha[:16]}.{suffix}"
    if not path.exists():
        files.write_bytes(path, content)
    return {"file": path.name, "sha256": sha}


def _put_arrays(folder: Path, kind: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, str]:
    from safetensors.numpy import save

    return _put(folder, kind, save({name: np.ascontiguousarray(each) for name, each in arrays.items()}), "safetensors")


def open_discovery(folder: Path | str) -> Discovery:
    """Open the folder of a discovery.

    Raises:
        RunError: it is none, unfinished, of another format, or a file is missing or changed; names the file.
    """
    from safetensors.numpy import load

    folder = Path(folder)
    if not card_path(folder).exists():
        raise RunError(
            f"{folder}: no discovery ({_CARD} is not there); make one with: linnet discover RUN --out {folder}"
        )
    card = files.read_json(card_path(folder))
    given = card.get("format") if isinstance(card, dict) else None
    if given != FORMAT:
        raise RunError(f"{folder}/{_CARD}: format {given!r}, this Linnet opens format {FORMAT}")
    try:
        content = {kind: _get(folder, card["files"][kind]) for kind in ("images", "arrays", "vectors", "labels")}
        lists = json.loads(content["images"])
        arrays = load(content["arrays"]) | load(content["vectors"]) | load(content["labels"])
        names = tuple(lists["coarse_names"])
        clusters = tuple(tuple(Cluster(**each) for each in card["clusters"][name]) for name in names)
        return Discovery(
            tuple(lists["images"]),
            arrays["rows"],
            tuple(lists["splits"]),
            names,
            arrays["coarse"],
            tuple(lists["fine_names"]),
            arrays["fine"],
            arrays["vectors"],
            arrays["cluster"],
            clusters,
            {name: card[name] for name in ("source", "settings", "tried")},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"{folder}: {_CARD} and the arrays do not fit each other ({error}); copy it again") from None


def _get(folder: Path, told: Mapping[str, str]) -> bytes:
    """The content of a file, as the card tells it."""
    path = files.inside(folder, told["file"])
    if not path.is_file():
        raise RunError(f"{path}: missing; copy the folder again")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != told["sha256"]:
        raise RunError(f"{path}: changed since it was written (checksums differ); copy the folder again")
    return content
