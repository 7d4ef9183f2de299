"""`coarse` and `fine`."""

from __future__ import annotations

from pathlib import Path

import torch
from torch.nn import functional as F

from tests.methods.check import build, check_method, make_batch


def test_coarse(tmp_path: Path) -> None:
    """The battery, and Eq. 1 of paper 001."""
    check_method("coarse", tmp_path)
    method, batch = build("coarse"), make_batch()
    (terms,) = method.losses(batch)
    logits = method.backbone(batch.images) @ method.coarse_head.weight.T
    torch.testing.assert_close(terms["coarse"].value, F.cross_entropy(logits, batch.targets[:, 0]))


def test_fine(tmp_path: Path) -> None:
    """The battery, and coarse probabilities that sum over children."""
    check_method("fine", tmp_path)
    said = build("fine").eval().predict(make_batch(8).images)
    assert said.coarse_logits is not None
    torch.testing.assert_close(said.coarse_logits.exp().sum(1), torch.ones(8))


def test_cosine_heads(tmp_path: Path) -> None:
    """The battery with normalised heads."""
    check_method("coarse", tmp_path, {"cosine": True, "temperature": 0.2}, export=False)
