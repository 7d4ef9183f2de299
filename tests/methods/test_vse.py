"""`vse`: parts side by side, one encoder for both levels."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.methods.check import build, check_method, make_batch, total
from tests.reference import bigspn as literal

SMALL = {"dim": 16, "hidden": 12, "reduced": 6, "parts": 3}


def test_vse(tmp_path: Path) -> None:
    """The battery."""
    check_method("vse", tmp_path, SMALL)


def test_the_loss_is_equation_1_on_parts() -> None:
    method, batch = build("vse", options=SMALL), make_batch(9)
    (terms,) = method.losses(batch)
    with torch.no_grad():
        embedding = method.encoder(method.backbone.features(batch.images))
        anchors = method.interpreter(method.task.coarse_attributes)
        expected = literal.semantic_alignment(embedding, anchors, method.classifier(embedding), batch.targets[:, 0])
    torch.testing.assert_close(total(terms).detach(), expected, rtol=1e-4, atol=1e-4)


def test_its_maps_can_be_seen() -> None:
    method, batch = build("vse", options=SMALL).eval(), make_batch(2)
    with torch.no_grad():
        maps = method.attention(batch.images)
    assert list(maps) == ["part 1", "part 2", "part 3"]
    assert all(each.shape == (2, 2, 2) and float(each.min()) > 0 for each in maps.values())
