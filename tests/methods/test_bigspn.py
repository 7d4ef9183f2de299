"""`bigspn` against Eq. 1-7 of paper 000, and the ways of the released code."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from linnet.methods.bigspn import BigSpn, BigSpnOptions
from tests.methods.check import Batch, build, check_method, make_batch, make_task, total
from tests.reference import bigspn as literal

SMALL = {"dim": 16, "hidden": 12, "reduced": 6}


def made(**options: Any) -> tuple[BigSpn, Batch]:
    """A small one, and a batch."""
    method = build("bigspn", options={**SMALL, **options})
    assert isinstance(method, BigSpn)
    return method, make_batch(12)


def test_bigspn(tmp_path: Path) -> None:
    """The battery."""
    check_method("bigspn", tmp_path, SMALL)


def test_official(tmp_path: Path) -> None:
    """The battery; a first stage with a net that stands still."""
    check_method("bigspn", tmp_path, {**SMALL, "variant": "official", "still_lr": 1.0}, export=False)


def test_improved(tmp_path: Path) -> None:
    """The battery; a last stage without a parameter."""
    check_method("bigspn", tmp_path, {**SMALL, "variant": "improved", "rounds": 2}, export=False)


def test_both_losses_are_their_equations() -> None:
    """L_se on the net that the step of L_sa has left, and on the candidates that f_v named before it."""
    method, batch = made(**{"lambda": 0.5})
    labels, membership = batch.targets[:, 0], method.task.membership
    pieces = method.losses(batch)
    first = next(pieces)
    with torch.no_grad():
        embedding = method.coarse_encoder(method.backbone.features(batch.images))
        coarse = method.interpreter(method.task.coarse_attributes)
        expected = literal.semantic_alignment(embedding, coarse, method.classifier(embedding), labels)
        named = [literal.nearest(each, coarse, [0, 1, 2]) for each in embedding]
    torch.testing.assert_close(total(first).detach(), expected, rtol=1e-4, atol=1e-4)
    assert set(named) != {0}, "or the test could not tell predicted candidates from others"
    with torch.no_grad():
        for parameter in (*method.backbone.parameters(), *method.interpreter.parameters()):
            parameter.mul_(1.1)
    second = next(pieces)
    with torch.no_grad():
        fine = method.fine_encoder(method.backbone.features(batch.images))
        anchors = method.interpreter(method.task.fine_attributes)
        expected = literal.subordinate_entropy(fine, anchors, named, membership)
    torch.testing.assert_close(second["candidates"].value.detach(), expected, rtol=1e-4, atol=1e-4)
    assert second["candidates"].weight == 0.5
    assert next(pieces, None) is None


@pytest.mark.parametrize(("trains", "reached"), [("all", True), ("encoder", False)])
def test_the_second_step_leaves_g_and_f_v_alone(trains: str, reached: bool) -> None:
    method, batch = made(trains=trains)
    _, second = method.losses(batch)
    total(second).backward()  # type: ignore[no-untyped-call]
    for part in (method.interpreter, method.coarse_encoder, method.classifier):
        assert all(parameter.grad is None for parameter in part.parameters())
    assert all(parameter.grad is not None for parameter in method.fine_encoder.parameters())
    assert any(parameter.grad is not None for parameter in method.backbone.parameters()) == reached


def test_candidates_can_come_from_the_label() -> None:
    method, batch = made(candidates_from="label")
    _, second = method.losses(batch)
    with torch.no_grad():
        fine = method.fine_encoder(method.backbone.features(batch.images))
        anchors = method.interpreter(method.task.fine_attributes)
        labels = batch.targets[:, 0].tolist()
        expected = literal.subordinate_entropy(fine, anchors, labels, method.task.membership)
    torch.testing.assert_close(second["candidates"].value.detach(), expected, rtol=1e-4, atol=1e-4)


def test_an_image_of_a_seen_class_has_that_class_for_a_candidate() -> None:
    task = make_task()
    seen = torch.arange(task.fine_classes) % 2 == 0
    method, batch = build("bigspn", replace(task, seen=seen), SMALL), make_batch(12)
    assert isinstance(method, BigSpn)
    _, second = method.losses(batch)
    with torch.no_grad():
        embedding = method.coarse_encoder(method.backbone.features(batch.images))
        coarse = method.interpreter(method.task.coarse_attributes)
        fine = method.fine_encoder(method.backbone.features(batch.images))
        anchors = method.interpreter(method.task.fine_attributes)
    values = []
    for image, (row, label) in enumerate(zip(fine, batch.targets[:, 1].tolist(), strict=True)):
        group = literal.nearest(embedding[image], coarse, [0, 1, 2])
        own = [label] if seen[label] else [f for f in range(len(anchors)) if task.membership[group, f]]
        values.append(min(1 - torch.cosine_similarity(row, anchors[f], dim=0) for f in own))
    torch.testing.assert_close(second["candidates"].value.detach(), torch.stack(values).mean(), rtol=1e-4, atol=1e-4)


def test_a_variant_sets_what_is_not_given() -> None:
    official = BigSpnOptions.model_validate({"variant": "official", "reduced": 7})
    assert (official.fusion, official.candidates_from, official.trains) == ("concat", "label", "encoder")
    assert (official.coarse_by, official.still_epochs, official.reduced) == ("classifier", 90, 7)
    assert BigSpnOptions.model_validate(official.model_dump(by_alias=True)) == official
    plain = BigSpnOptions()
    assert (plain.fusion, plain.candidates_from, plain.parts, plain.reduced) == ("bilinear", "prediction", 4, 256)


def test_one_map_has_no_pair() -> None:
    with pytest.raises(ValidationError, match="parts = 1: bilinear fusion multiplies pairs"):
        BigSpnOptions(parts=1)
    assert BigSpnOptions(parts=1, fusion="concat").parts == 1


def test_the_official_code_names_coarse_classes_by_its_classifier() -> None:
    """Which then belongs to the bundle, as it does not otherwise."""
    method, batch = made(variant="official")
    method.eval()
    with torch.no_grad():
        said = method.predict(batch.images)
        expected = method.classifier(method.coarse_encoder(method.backbone.features(batch.images)))
    assert said.coarse_logits is not None
    torch.testing.assert_close(said.coarse_logits, expected)
    assert "classifier.weight" in method.bundle_state()
    assert "classifier.weight" not in made()[0].bundle_state()


def test_its_first_stage_moves_neither_net_nor_batch_norms() -> None:
    method, batch = made(variant="official")
    heads, every = method.stages()
    body = {id(parameter) for parameter in method.backbone.parameters()}
    assert not body & {id(parameter) for group in heads.groups for parameter in group.parameters}
    assert (heads.epochs, heads.groups[0].lr_scale) == (90, 10.0)
    for stage, moves in enumerate((False, True)):
        method.enter(stage)
        before = {name: value.clone() for name, value in method.named_buffers()}
        method.train()
        for terms in method.losses(batch):
            total(terms).backward()  # type: ignore[no-untyped-call]
        assert (method.backbone.conv1.weight.grad is not None) == moves
        assert any(not torch.equal(value, before[name]) for name, value in method.named_buffers()) == moves
    assert every.epochs is None


def test_the_improved_way_regresses_once_the_coarse_classes_are_learned() -> None:
    """On the images of one pass; neither the net nor its batch norms move then."""
    method, batch = made(variant="improved")
    assert method.regression is not None
    coarse, fit = method.stages()
    assert (coarse.name, fit.name, fit.groups, fit.epochs) == ("train", "fit", [], 1)
    method.train()
    assert [list(terms) for terms in method.losses(batch)] == [["alignment", "classes"]]
    method.enter(1)
    method.train()
    before = {name: value.clone() for name, value in method.state_dict().items()}
    for part in (slice(0, 7), slice(7, 12)):
        assert not list(method.losses(Batch(batch.images[part], batch.index[part], batch.targets[part])))
    method.end_epoch(0)
    moved = {name for name, value in method.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"regression.kept", "regression.weight", "regression.bias"}
    method.eval()
    with torch.no_grad():
        said, features = method.predict(batch.images), method.backbone.features(batch.images)
        torch.testing.assert_close(said.embedding, method.regression(features))
    assert said.fine_logits is not None
    named = [literal.nearest(each, method.regression.anchors, list(range(6))) for each in said.embedding]
    assert said.fine_logits.argmax(1).tolist() == named
    assert not {"regression.kept", "regression.known", "regression.coarse_anchors"} & method.bundle_state().keys()


@pytest.mark.parametrize(
    ("coarse", "fine", "steps"), [("pooled", "coarse", 1), ("pooled", "pooled", 2), ("parts", "parts", 2)]
)
def test_rows_of_table_3(coarse: str, fine: str, steps: int, tmp_path: Path) -> None:
    """Which encoder is used where; every parameter learns in each."""
    method, batch = made(coarse_encoder=coarse, fine_encoder=fine)
    pieces = list(method.losses(batch))
    assert len(pieces) == steps
    for terms in pieces:
        total(terms).backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is not None for parameter in method.parameters())
    assert ("part 1" in method.attention(batch.images)) == ("parts" in (coarse, fine))
    said = method.eval().predict(batch.images)
    encoder = method.coarse_encoder if fine == "coarse" else method.fine_encoder
    torch.testing.assert_close(said.embedding, encoder(method.backbone.features(batch.images)))


@pytest.mark.parametrize("fine_encoder", ["parts", "pooled", "coarse"])
def test_embeddings_before_and_after(fine_encoder: str) -> None:
    """f_v, which names coarse classes, and f_pv, the embedding that is searched by."""
    method, batch = made(fine_encoder=fine_encoder)
    with torch.no_grad():
        found = method.eval().embeddings(batch.images)
        embedding = method.predict(batch.images).embedding
        before = method.coarse_encoder(method.backbone.features(batch.images))
    assert list(found) == ["f_v", "f_pv"]
    torch.testing.assert_close(found["f_v"], before)
    assert torch.equal(found["f_pv"], embedding)
    assert (fine_encoder == "coarse") == torch.equal(found["f_v"], found["f_pv"])
