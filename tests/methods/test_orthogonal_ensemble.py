"""`orthogonal-ensemble` against Eq. 6 of paper 004, and its members as parts of a whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from linnet.backbones.together import Together
from linnet.errors import RecipeError
from linnet.methods.orthogonal_ensemble import OrthogonalEnsemble
from tests.methods.check import build, check_method, make_batch, total, train
from tests.reference.orthogonal import ensemble_loss


def ensemble(**options: Any) -> tuple[OrthogonalEnsemble, Together]:
    """Three members unless told otherwise, and their nets."""
    method = build("orthogonal-ensemble", options={"members": 3, **options})
    assert isinstance(method, OrthogonalEnsemble) and isinstance(method.backbone, Together)
    return method, method.backbone


@pytest.mark.parametrize("options", [{}, {"variant": "official"}])
def test_orthogonal_ensemble(options: dict[str, Any], tmp_path: Path) -> None:
    """The battery, for two members."""
    check_method("orthogonal-ensemble", tmp_path, {"members": 2, **options}, export=not options)


@pytest.mark.parametrize("variant", ["paper", "official"])
@pytest.mark.parametrize("stage", [0, 1, 2])
def test_the_loss_is_equation_6(stage: int, variant: str) -> None:
    """Each member against all before it, which are in eval mode; official: OR is as large as CE."""
    method, nets = ensemble(alpha=0.7, variant=variant)
    train(method, make_batch(), 1)  # so that running statistics are not those of the start
    batch = make_batch(6)
    method.train()
    method.enter(stage)
    (terms,) = method.losses(batch)
    with torch.no_grad():
        features = nets.net(stage).features(batch.images)
        teachers = [nets.net(number).eval().features(batch.images) for number in range(stage)]
        pooled = features.mean((2, 3)) if variant == "paper" else features.amax((2, 3))
        cross_entropy = float(F.cross_entropy(method.heads[stage](pooled), batch.targets[:, 1]))
    expected = ensemble_loss(cross_entropy, features, teachers, 0.7)
    if variant == "official" and stage > 0:
        expected = 1.7 * cross_entropy
    torch.testing.assert_close(float(total(terms).detach()), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype: torch.dtype) -> None:
    """Teachers run in the precision of training, and the loss is near that of float32."""
    method, nets = ensemble()
    seen: list[torch.dtype] = []
    nets.net(0).get_submodule("stages.2").register_forward_hook(lambda *args: seen.append(args[2].dtype))
    losses = []
    for on in (False, True):
        with torch.autocast("cpu", dtype, enabled=on):
            (terms,) = method.train().losses(make_batch(8))
        losses.append(float(terms["orthogonal"].value.detach()))
    assert seen == [torch.float32, dtype]
    assert losses[1] == pytest.approx(losses[0], rel=0.1)


def test_teachers_run_once_and_learn_nothing() -> None:
    """One pass for each, no gradient, no new statistics; and what a step keeps does not grow with them."""
    method, nets = ensemble()
    method.train()
    before = {name: value.clone() for name, value in method.state_dict().items()}
    kept, calls = [], [0, 0, 0]
    for number in range(3):
        nets.net(number).register_forward_pre_hook(lambda *_: pytest.fail("the pooled net ran too"))
        features = nets.net(number).features

        def counted(images: Tensor, number: int = number, features: Any = features) -> Tensor:
            calls[number] += 1
            result: Tensor = features(images)
            return result

        nets.net(number).features = counted  # type: ignore[method-assign]
    for stage in (1, 2):
        method.enter(stage)
        sizes: list[int] = []

        def keep(saved: Tensor, sizes: list[int] = sizes) -> Tensor:
            sizes.append(saved.numel())
            return saved

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda saved: saved):
            (terms,) = method.losses(make_batch(8))
        kept.append(sum(sizes))
        total(terms).backward()  # type: ignore[no-untyped-call]
    assert calls == [2, 2, 1] and kept[0] == kept[1]
    for name, parameter in method.named_parameters():
        assert (parameter.grad is not None) == (
            name.startswith(("backbone.nets.1", "backbone.nets.2", "heads.1", "heads.2"))
        )
    changed = {
        name.split(".")[2] for name, value in method.state_dict().items() if not torch.equal(value, before[name])
    }
    assert changed == {"1", "2"}, "statistics of the members that learnt"


def test_the_first_member_is_what_fine_trains() -> None:
    """Bit for bit: so the row 'single' is a prefix of either ensemble."""
    batch, single = make_batch(), build("fine")
    method, nets = ensemble()
    assert train(single, batch, 3) == train(method, batch, 3)[:3]
    ours = nets.net(0).state_dict()
    assert all(torch.equal(value, ours[name]) for name, value in single.backbone.state_dict().items())
    said, alone = method.prefix(1).eval().predict(batch.images), single.eval().predict(batch.images)
    assert said.fine_logits is not None and alone.fine_logits is not None
    torch.testing.assert_close(said.fine_logits, torch.log_softmax(alone.fine_logits, 1))
    torch.testing.assert_close(said.embedding, F.normalize(alone.embedding))


def test_members_do_not_depend_on_how_many_follow() -> None:
    """Their draws; and no two have the same."""
    (three, _), (two, _) = ensemble(), ensemble(members=2)
    state = three.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in two.state_dict().items())
    assert not torch.equal(state["heads.0.weight"], state["heads.1.weight"])
    first = "conv1.weight"
    assert not torch.equal(state[f"backbone.nets.0.{first}"], state[f"backbone.nets.1.{first}"])


@pytest.mark.parametrize("average", ["probabilities", "logits"])
def test_the_prediction_is_the_mean(average: str) -> None:
    """Over any prefix; the embeddings' cosine is the mean of the members' cosines."""
    method, batch = ensemble(average=average)[0].eval(), make_batch(5)
    nets = method.backbone.nets
    pooled = [net(batch.images) for net in nets]
    logits = torch.stack([head(each) for head, each in zip(method.heads, pooled, strict=True)])
    for members in (1, 2, 3):
        said = method.prefix(members).predict(batch.images)
        assert said.fine_logits is not None
        mean = (
            logits[:members].softmax(2).mean(0) if average == "probabilities" else logits[:members].mean(0).softmax(1)
        )
        torch.testing.assert_close(said.fine_logits.softmax(1), mean)
        units = F.normalize(said.embedding)
        cosines = torch.stack([F.normalize(each) @ F.normalize(each).T for each in pooled[:members]]).mean(0)
        torch.testing.assert_close(units @ units.T, cosines)
    maps = method.attention(batch.images)
    assert list(maps) == ["member 1", "member 2", "member 3"]
    assert all(each.shape == (5, 2, 2) and bool((each >= 0).all()) for each in maps.values())


def test_a_prefix_that_is_not_there() -> None:
    for members in (0, 4):
        with pytest.raises(RecipeError, match=rf"members = {members}: the run has 3; give 1 to 3"):
            ensemble()[0].prefix(members)
    with pytest.raises(RecipeError, match="members = 2: the run is no ensemble"):
        build("fine").prefix(2)


@pytest.mark.parametrize("average", ["probabilities", "logits"])
def test_members_by_themselves(average: str) -> None:
    """Their probabilities average to the ensemble's, whatever it averages; each shares its weights and looks alone."""
    method, nets = ensemble(average=average)
    images = make_batch(4).images
    with torch.no_grad():
        said, members = method.eval().predict(images), method.members()
        alone = [member.predict(images) for member in members]
        seen = [member.attention(images) for member in members]
        whole = method.attention(images)
    logits = torch.stack([each.fine_logits for each in alone if each.fine_logits is not None])
    mean = logits.mean(0) if average == "logits" else torch.softmax(logits, 2).mean(0).log()
    assert said.fine_logits is not None
    torch.testing.assert_close(said.fine_logits, mean)
    torch.testing.assert_close([each["member 1"] for each in seen], [whole[f"member {n}"] for n in (1, 2, 3)])
    assert next(members[1].parameters()) is next(nets.net(1).parameters())
