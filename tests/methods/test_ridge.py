"""`ridge`: fitted by the loop's protocol, without a gradient."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from linnet.methods.base import Task
from linnet.methods.ridge import Ridge
from linnet.training.api import train
from linnet.training.bundle import open_bundle
from tests.methods.check import Batch, build, bundle_task, make_batch, make_task
from tests.reference import bigspn as literal
from tests.training.tiny import tiny_manifest, tiny_recipe


def fitted(task: Task | None = None, *, epochs: int = 1) -> tuple[Ridge, Batch]:
    """A method on the battery's images, as the loop fits it."""
    method, batch = build("ridge", task, {"strengths": [0.1, 1.0]}), make_batch()
    assert isinstance(method, Ridge)
    for epoch in range(epochs):
        method.train()
        for part in (slice(0, 40), slice(40, 64)):
            given = Batch(batch.images[part], batch.index[part], batch.targets[part])
            assert list(method.losses(given)) == []
        method.end_epoch(epoch)
    return method.eval(), batch


@pytest.mark.parametrize(("epochs", "strength"), [(1, 0.1), (2, 1.0)])
def test_each_epoch_solves_for_its_strength(epochs: int, strength: float) -> None:
    """From the images of the first epoch alone."""
    method, batch = fitted(epochs=epochs)
    task = make_task()
    centre = task.coarse_attributes.mean(0)
    with torch.no_grad():
        pooled = method.backbone(batch.images).double()
        said = method.predict(batch.images)
    targets = (task.coarse_attributes - centre).double()[batch.targets[:, 0]]
    weight, bias = literal.ridge(pooled, targets, strength)
    expected = pooled @ weight.T + bias
    torch.testing.assert_close(said.embedding.double(), expected, rtol=1e-4, atol=1e-4)
    assert said.coarse_logits is not None and said.fine_logits is not None
    for logits, described in ((said.coarse_logits, task.coarse_attributes), (said.fine_logits, task.fine_attributes)):
        anchors = (described - centre).double()
        classes = list(range(len(anchors)))
        assert logits.argmax(1).tolist() == [literal.nearest(each, anchors, classes) for each in expected]


def test_images_of_seen_classes_are_regressed_on_their_own_attributes() -> None:
    """The other half of the classes have coarse labels only, whatever stands in the table."""
    task = make_task()
    task = replace(task, seen=torch.arange(task.fine_classes) % 2 == 0)
    method, batch = fitted(task)
    fine, centre = batch.targets[:, 1], task.coarse_attributes.mean(0)
    told = torch.where(
        task.seen[fine][:, None], task.fine_attributes[fine], task.coarse_attributes[batch.targets[:, 0]]
    )
    with torch.no_grad():
        pooled = method.backbone(batch.images).double()
    weight, bias = literal.ridge(pooled, (told - centre).double(), 0.1)
    torch.testing.assert_close(
        method.predict(batch.images).embedding.double(), pooled @ weight.T + bias, rtol=1e-4, atol=1e-4
    )


def test_it_learns_and_leaves_the_backbone_alone() -> None:
    fresh = build("ridge").backbone.state_dict()
    method, batch = fitted()
    said = method.predict(batch.images)
    assert said.coarse_logits is not None
    assert float((said.coarse_logits.argmax(1) == batch.targets[:, 0]).float().mean()) > 0.8
    assert all(torch.equal(value, fresh[name]) for name, value in method.backbone.state_dict().items())
    assert not any(parameter.requires_grad for parameter in method.parameters())


def test_a_bundle_leaves_the_sums_out(tmp_path: Path) -> None:
    method, batch = fitted()
    save_file(method.bundle_state(), tmp_path / "state.safetensors")
    again = build("ridge", bundle_task(method.bundle_state())).eval()
    loaded = again.load_state_dict(load_file(tmp_path / "state.safetensors"), strict=False)
    assert not loaded.unexpected_keys and all(again.is_training_only(name) for name in loaded.missing_keys)
    said, expected = again.predict(batch.images), method.predict(batch.images)
    assert all(torch.equal(a, b) for a, b in zip(vars(said).values(), vars(expected).values(), strict=True))


def test_the_loop_fits_it_and_keeps_the_best_strength(tmp_path: Path) -> None:
    """A whole run of the loop, and its bundle."""
    recipe = tiny_recipe(method="ridge", options={"strengths": [1e6, 0.1, 1.0]}, drop_last=False)
    run = train(recipe, tmp_path / "run", tiny_manifest(), progress=False)
    assert run.summary["best_epoch"] in (2, 3)
    opened = open_bundle(tmp_path / "run/bundle").method
    assert isinstance(opened, Ridge) and bool(opened.weight.any())
    assert {"coarse_top1", "fine_top1"} <= set(run.evaluate("test").figures)
