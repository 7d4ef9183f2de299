"""`any-level`: labels of all levels under one softmax."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from tests.methods.check import FINE, build, check_method, make_batch, make_task, replace_targets, total
from tests.reference.class_maps import descendant_loss


@pytest.mark.parametrize("options", [{}, {"cells": 2}])
def test_any_level(options: dict[str, Any], tmp_path: Path) -> None:
    """The battery; every image has a fine label there, and the coarser term is nothing."""
    check_method("any-level", tmp_path, options, export=not options)


def test_the_loss_is_the_probability_of_the_descendants() -> None:
    """Three levels, labels down to any of them; lambda weighs images without a fine label."""
    family = torch.tensor([0, 0, 0, 0, 0, 1]) == torch.arange(2)[:, None]
    genus = make_task().membership
    task = replace(make_task(), coarse_level=1, fine_level=2, memberships=(family, genus, torch.eye(FINE).bool()))
    batch = make_batch(9)
    targets = torch.stack([family.int().argmax(0)[batch.targets[:, 1]], *batch.targets.T], 1)
    known = torch.arange(9) % 3
    targets = torch.where(torch.arange(3) <= known[:, None], targets, -1)
    method = build("any-level", task, {"lambda": 0.3}).double()
    (terms,) = method.losses(replace_targets(replace(batch, images=batch.images.double()), targets))
    with torch.no_grad():
        logits = method.fine_head.scores(method.backbone(batch.images.double()))
    expected = sum(
        (1.0 if level == 2 else 0.3) * descendant_loss(row, task.descendants(level), int(target[level]))
        for row, target, level in zip(logits, targets, known.tolist(), strict=True)
    )
    torch.testing.assert_close(total(terms).detach(), expected / 9)


def test_fine_labels_alone_make_it_a_classifier_and_coarse_ones_alone_teach_it_too() -> None:
    """It learns from whatever is there."""
    method, batch = build("any-level"), make_batch(8)
    (terms,) = method.losses(batch)
    logits = method.fine_head.scores(method.backbone(batch.images))
    torch.testing.assert_close(total(terms), F.cross_entropy(logits, batch.targets[:, 1]))
    coarse = replace_targets(batch, torch.stack([batch.targets[:, 0], torch.full((8,), -1)], 1))
    (terms,) = method.losses(coarse)
    said = method.train().predict(batch.images).coarse_logits
    assert said is not None
    torch.testing.assert_close(total(terms), F.nll_loss(said, batch.targets[:, 0]))
    assert float(terms["fine"].value.detach()) == 0.0
