"""`fgn`: three stages, each loss as f-CLSWGAN has it, and each step moving its own parameters alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from linnet.methods.fgn import Fgn
from linnet.randomness import seeded
from tests.methods.check import build, check_method, make_batch, total
from tests.reference import wgan as literal

SMALL: dict[str, Any] = {"hidden": 32, "noise": 1, "critic_steps": 2, "generator_lr": 0.02, "classifier_lr": 50.0}


def fgn(**options: Any) -> Fgn:
    method = build("fgn", options={**SMALL, **options})
    assert isinstance(method, Fgn)
    return method


def centred(method: Fgn, attributes: Tensor) -> Tensor:
    """Descriptions less the coarse classes' mean, at unit length."""
    rows = [row - sum(method.coarse_attributes) / len(method.coarse_attributes) for row in attributes]
    return torch.stack([row / row.norm() for row in rows])


def test_fgn(tmp_path: Path) -> None:
    """The battery."""
    check_method("fgn", tmp_path, SMALL)


def test_stages_have_their_own_epochs_and_rates() -> None:
    first, second, third = fgn(generator_epochs=7, classifier_epochs=3).stages()
    assert (first.epochs, second.epochs, third.epochs) == (None, 7, 3)
    assert [stage.groups[0].lr_scale for stage in (first, second, third)] == [1.0, 0.02, 50.0]


def test_the_first_stage_is_a_classifier_of_coarse_classes() -> None:
    method, batch = fgn(), make_batch(9)
    method.enter(0)
    (terms,) = method.losses(batch)
    logits = method.backbone(batch.images) @ method.coarse_head.weight.T
    torch.testing.assert_close(total(terms), F.cross_entropy(logits, batch.targets[:, 0]))
    most = method.backbone(batch.images).max()
    list(method.losses(make_batch(3)))
    assert float(method.scale) == pytest.approx(float(most.detach())), "of all batches"
    said = method.eval().predict(batch.images)
    assert said.coarse_logits is not None and said.fine_logits is not None
    implied = torch.stack([said.fine_logits.softmax(1)[:, row].sum(1) for row in method.task.membership], 1)
    torch.testing.assert_close(implied, said.coarse_logits.softmax(1))


def layers_of(part: nn.Module) -> list[tuple[Tensor, Tensor]]:
    linear = [layer for layer in part.modules() if isinstance(layer, nn.Linear)]
    biases = [torch.zeros(1) if layer.bias is None else layer.bias.detach() for layer in linear]
    return [(layer.weight.detach().double(), bias.double()) for layer, bias in zip(linear, biases, strict=True)]


def test_critic_and_generator_have_f_clswgans_objectives() -> None:
    """With the very noise and shares that the step drew."""
    method, labels = fgn(penalty=7.0, class_weight=0.3), torch.tensor([0, 2, 1, 1])
    method.scale.fill_(2.5)
    described = centred(method, method.coarse_attributes)[labels]
    with seeded(3, "real"):
        real = torch.rand(4, method.backbone.dim)
    with seeded(4, "step"):
        found = method.critic_losses(real, described)
    with seeded(4, "step"):
        noise, share = torch.empty(4, method.generator.noise).normal_(), torch.empty(4, 1).uniform_()
    fake = method.generator(noise, described).detach()
    layers, exact = layers_of(method.critic), [each.double() for each in (real, fake, described)]
    assert float(found["critic"].value.detach()) == pytest.approx(literal.critic_objective(layers, *exact), rel=1e-4)
    expected = literal.penalty(layers, *exact, share.double())
    assert float(found["penalty"].value.detach()) == pytest.approx(float(expected), rel=1e-4)
    assert found["penalty"].weight == 7.0
    with seeded(5, "step"):
        made = method.generator_losses(described, labels)
    with seeded(5, "step"):
        fake = method.generator(torch.empty(4, method.generator.noise).normal_(), described).detach()
    scores = [float(literal.score(layers, x, a)) for x, a in zip(fake.double(), described.double(), strict=True)]
    assert float(made["generator"].value.detach()) == pytest.approx(-sum(scores) / 4, rel=1e-4)
    classes = F.cross_entropy(2.5 * fake @ method.coarse_head.weight.T, labels)
    torch.testing.assert_close(made["classes"].value, classes)
    assert made["classes"].weight == 0.3


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.AdamW])
def test_a_step_moves_its_own_parameters_alone(optimizer: Any) -> None:
    """With momentum and weight decay: what has no gradient in a step stands still, and so does the backbone."""
    method, batch = fgn(), make_batch(12)
    method.enter(1)
    method.train()
    settings = {"momentum": 0.9} if optimizer is torch.optim.SGD else {}
    update = optimizer(method.stages()[1].groups[0].parameters, lr=0.01, weight_decay=0.1, **settings)
    moved, rest = {"critic": "generator", "generator": "critic"}, ("backbone", "coarse_head", "fine_head")
    order = []
    for _ in range(2):
        for terms in method.losses(batch):
            before = {name: value.clone() for name, value in method.state_dict().items()}
            update.zero_grad(set_to_none=True)
            total(terms).backward()  # type: ignore[no-untyped-call]
            update.step()
            mine = "critic" if "critic" in terms else "generator"
            order.append(mine)
            for name, value in method.state_dict().items():
                if name.startswith(mine):
                    assert not torch.equal(value, before[name]), name
                elif name.startswith((moved[mine], *rest)):
                    assert torch.equal(value, before[name]), name
    assert order == ["critic", "critic", "generator"] * 2
    assert all(p.grad is None for part in (method.coarse_head, method.backbone) for p in part.parameters())


def test_each_critic_step_sees_its_part_of_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch smaller than the number of steps has as many as it can."""
    method, seen = fgn(critic_steps=3), []
    plain = Fgn.critic_losses

    def noting(self: Fgn, real: Tensor, described: Tensor) -> Any:
        seen.append(len(real))
        return plain(self, real, described)

    monkeypatch.setattr(Fgn, "critic_losses", noting)
    method.enter(1)
    assert len(list(method.losses(make_batch(9)))) == 4 and seen == [3, 3, 3]
    assert len(list(method.losses(make_batch(2)))) == 3


def test_the_last_stage_learns_from_generated_features_alone() -> None:
    """As many of each fine class; whatever images there are."""
    method = fgn(generated=2)
    method.scale.fill_(2.5)
    method.enter(2)
    losses = []
    for count in (5, 8):
        with seeded(6, "step"):
            (terms,) = method.losses(make_batch(count))
        losses.append(total(terms).detach())
    assert losses[0] == losses[1]
    labels = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5])
    with seeded(6, "step"):
        made = method.generator.draw(centred(method, method.fine_attributes)[labels])
    torch.testing.assert_close(losses[0], F.cross_entropy(2.5 * made @ method.fine_head.weight.T, labels).detach())


def test_while_the_generator_learns_the_nearest_typical_feature_names_the_class() -> None:
    method, batch = fgn(), make_batch(6)
    method.enter(1)
    method.eval()
    with torch.no_grad():
        said = method.predict(batch.images)
        zeros = torch.zeros(6, method.generator.noise)
        typical = method.generator(zeros, centred(method, method.fine_attributes))
    expected = F.cosine_similarity(said.embedding[:, None], typical[None], dim=2)
    assert said.fine_logits is not None
    torch.testing.assert_close(said.fine_logits, expected)


def test_a_bundle_holds_both_classifiers_and_no_generator() -> None:
    names = fgn().bundle_state()
    assert {"coarse_head.weight", "fine_head.weight"} <= names.keys()
    assert not any(name.startswith(("generator", "critic")) for name in names)
