"""What engines made once and keep in the user's cache: graphs, by the content of what they were made from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from linnet import files
from linnet.engines.graph import OPSET, export_predict
from linnet.engines.packages import version_of
from linnet.training.bundle import Bundle

__all__ = ["content_digest", "keep", "kept_graph", "tensor_digest"]

_ROOT = Path(__file__).parents[1]
_CODE = ("backbones", "losses", "methods", "engines")


def content_digest(bundle: Bundle) -> str:
    """SHA-256 of what a bundle's method computes: its state, options, classes, and the code and versions it runs by."""
    made = hashlib.sha256()
    about = {
        "card": bundle.card,
        "levels": [bundle.coarse, bundle.fine],
        "taxonomy": bundle.taxonomy.fingerprint,
        "preprocessing": bundle.preprocessing.to_json(),
        "method": type(bundle.method).__qualname__,
        "versions": [version_of(each) for each in ("torch", "timm", "onnx", "onnxscript")],
        "opset": OPSET,
        "code": _code_digest(),
    }
    made.update(json.dumps(about, sort_keys=True, default=str).encode())
    for name, value in sorted(bundle.method.bundle_state().items()):
        made.update(f"{name} {tuple(value.shape)} {value.dtype} ".encode())
        made.update(_bytes(value))
    return made.hexdigest()


def tensor_digest(tensor: Tensor) -> str:
    """SHA-256 of a tensor's numbers."""
    return hashlib.sha256(_bytes(tensor)).hexdigest()


def keep(folder: Path, name: str, make: Callable[[Path], dict[str, Any]]) -> tuple[Path, dict[str, Any]]:
    """The file `folder/name` and what is written beside it; made by `make` where it is not there, whole and unchanged.

    `folder` is made for the present user alone: what lies there is read by engines written in C++. `make` writes the
    file and returns what is to be remembered with it, as JSON types.

    Raises:
        RunError: the folder belongs to somebody else.
    """
    files.private_folder(folder)
    target, beside = folder / name, folder / f"{name}.json"
    with files.locked(folder / "lock"):
        if beside.exists() and target.exists():
            about = files.read_json(beside)
            if isinstance(about, dict) and about.get("sha256") == files.digest(target):
                return target, about
        about = make(target)
        about["sha256"] = files.digest(target)
        files.write_json(beside, about)
    return target, about


def kept_graph(bundle: Bundle) -> tuple[Path, tuple[str, ...]]:
    """The ONNX graph of a bundle's `predict` in the cache, exported now where it is not there; and its outputs' names.

    Raises:
        CannotRunError, RunError: as `export_predict`.
    """

    def make(target: Path) -> dict[str, Any]:
        return {"outputs": list(export_predict(bundle.method, bundle.preprocessing.size, target))}

    folder = files.cache_folder() / "engines" / content_digest(bundle)[:32]
    path, about = keep(folder, "predict.onnx", make)
    return path, tuple(about["outputs"])


@cache
def _code_digest() -> str:
    made = hashlib.sha256()
    for package in _CODE:
        for path in sorted((_ROOT / package).glob("*.py")):
            made.update(path.name.encode() + b"\0" + path.read_bytes())
    return made.hexdigest()


def _bytes(tensor: Tensor) -> bytes:
    whole = tensor.detach().cpu().contiguous()
    return whole.reshape(-1).view(torch.uint8).numpy().tobytes()
