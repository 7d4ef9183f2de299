"""Any timm model as an embedder, without a run: its last feature map, averaged over space."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from linnet.backbones import build_backbone
from linnet.backbones.build import default_preprocessing
from linnet.engines import open_engine
from linnet.images import Preprocessing
from linnet.methods.base import BatchLike, Losses, Method, Prediction, Task
from linnet.search.embedders import Embedder
from linnet.taxonomy import Taxonomy
from linnet.training.bundle import Bundle

__all__ = ["timm_embedder"]


class _Bare(Method):
    """A backbone alone, which learns nothing."""

    needs = frozenset()
    selects = ""

    def losses(self, batch: BatchLike) -> Iterator[Losses]:
        raise NotImplementedError

    def predict(self, images: Tensor) -> Prediction:
        return Prediction(self.backbone(images))


def timm_embedder(name: str, weights: Path | str | None = None, engine: str = "auto") -> Embedder:
    """A timm model, or a net of Linnet's own, with the input that its usual weights expect.

    Args:
        weights: a safetensors file; timm's own, fetched from the hub, when None.
        engine: see `linnet.engines.open_engine`.

    Raises:
        RecipeError: no such model, or its weights cannot be had or do not fit.
        RunError: the engine cannot be used.
    """
    file = None if weights is None else Path(weights).expanduser()
    backbone = build_backbone(name, weights=file, pretrained=file is None).eval()
    expected = default_preprocessing(name)
    preprocessing = Preprocessing(
        expected.size, expected.resize, expected.mean, expected.std, interpolation=expected.interpolation
    )
    sha = _bits(backbone)
    taxonomy = Taxonomy(("class",), (("any",),), ((),))
    card: dict[str, Any] = {"weights_sha256": sha, "method": "timm", "backbone": name, "start": backbone.start}
    method = _Bare(backbone, Task(torch.ones(1, 1, dtype=torch.bool), 0, 0)).eval()
    opened = open_engine(Bundle(method, taxonomy, 0, 0, preprocessing, card), engine)
    identity = {"kind": "timm", "name": name, "sha256": sha, "preprocessing": preprocessing.to_json()}
    told = {"weights": None if file is None else str(file.absolute()), "start": backbone.start, "asked": engine}
    return Embedder(identity, told, preprocessing, backbone.dim, opened)


def _bits(net: torch.nn.Module) -> str:
    """SHA-256 of all weights and buffers, with their names."""
    state = hashlib.sha256()
    for name, value in sorted(net.state_dict().items()):
        state.update(repr((name, tuple(value.shape), str(value.dtype))).encode())
        state.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return state.hexdigest()
