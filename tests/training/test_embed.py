"""Embeddings of new image files by a finished run."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch import Tensor

from linnet.errors import ImageError
from linnet.images import load_images
from linnet.training import run as run_module
from linnet.training.api import train
from tests.training.tiny import tiny_manifest, tiny_recipe


def test_batches_change_nothing_and_the_next_is_decoded_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train(tiny_recipe(epochs=1), tmp_path / "run", tiny_manifest(), progress=False)
    paths = [tmp_path / f"{number}.png" for number in range(5)]
    for path, pixels in zip(paths, np.random.default_rng(0).integers(0, 256, (5, 20, 24, 3), np.uint8), strict=True):
        Image.fromarray(pixels).save(path)
    whole = run.embed(paths)
    decoded = [threading.Event() for _ in range(4)]
    decoded[3].set()  # there is no fourth batch
    predict, begun = run.bundle.method.predict, iter(decoded)

    def noting(batch: Sequence[Path | str], *given: Any, **named: Any) -> Tensor:
        next(begun).set()
        return load_images(batch, *given, **named)

    seen: list[int] = []

    def waiting(images: Tensor) -> Any:
        seen.append(len(images))
        assert decoded[len(seen)].wait(20)
        return predict(images)

    monkeypatch.setattr(run_module, "load_images", noting)
    monkeypatch.setattr(run.bundle.method, "predict", waiting)
    np.testing.assert_allclose(run.embed(paths, batch_size=2), whole, rtol=1e-4, atol=1e-5)
    assert seen == [2, 2, 1]
    monkeypatch.undo()
    np.testing.assert_allclose(run.embed(str(paths[3])), whole[3:4], rtol=1e-4, atol=1e-5)
    assert run.embed([]).shape == (0, whole.shape[1])
    paths[4].write_bytes(b"")
    with pytest.raises(ImageError, match=r"4.png: .*empty"):
        run.embed(paths, batch_size=2)
