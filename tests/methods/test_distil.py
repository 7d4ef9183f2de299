"""`distil`: the loss, and what the teacher is and is not a part of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from linnet.errors import SupervisionError
from linnet.methods import allowed_methods, check_supervision
from linnet.methods.base import Need
from tests.methods.check import build, check_method, make_batch, total
from tests.reference.distillation import soft_targets


@pytest.mark.parametrize("options", [{}, {"weight": 1.0, "temperature": 1.0}])
def test_distil(options: dict[str, Any], tmp_path: Path) -> None:
    """The battery."""
    check_method("distil", tmp_path, options, export=not options)


def test_the_loss_is_both_targets() -> None:
    """An image without a fine label learns from the teacher alone."""
    method, batch = build("distil", options={"temperature": 3.0, "weight": 0.6}), make_batch(9)
    batch.targets[::2, 1] = -1
    (terms,) = method.losses(batch)
    assert method.task.teacher is not None
    with torch.no_grad():
        logits = method.backbone(batch.images) @ method.get_parameter("fine_head.weight").T
        soft = soft_targets(logits, method.task.teacher(batch.images), 3.0)
        known = F.cross_entropy(logits[1::2], batch.targets[1::2, 1], reduction="sum") / 9
    torch.testing.assert_close(float(total(terms).detach()), 0.6 * soft + 0.4 * float(known), rtol=1e-4, atol=1e-5)


def test_with_weight_one_labels_are_not_looked_at() -> None:
    method, batch = build("distil", options={"weight": 1.0}), make_batch(6)
    (terms,) = method.losses(batch)
    batch.targets[:] = -1
    (again,) = method.losses(batch)
    assert list(terms) == ["soft"] and torch.equal(terms["soft"].value, again["soft"].value)


def test_it_needs_a_teacher_and_nothing_else() -> None:
    assert "distil" in allowed_methods({Need.TEACHER}) and "distil" not in allowed_methods({Need.COARSE, Need.ALL_FINE})
    with pytest.raises(SupervisionError, match=r"method 'distil' needs a finished run to learn from"):
        check_supervision("distil", {Need.ALL_FINE}, "photos.csv")
