"""Images shared out evenly among the children of their coarse class, and attributes regressed on that."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from hypothesis import given, settings
from hypothesis import strategies as st

from linnet.losses.balanced import BalancedRegression, balanced_shares
from linnet.losses.ridge import RidgeSums
from linnet.randomness import seeded
from tests.reference import bigspn as literal

SETTINGS = {"start": 1.0, "strength": 0.1, "temperature": 0.1}


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 12), st.integers(1, 4), st.integers(0, 99))
def test_rows_sum_to_one_and_columns_are_even(count: int, classes: int, seed: int) -> None:
    with seeded(seed, "shares"):
        scores = torch.randn(count, classes)
    shares = balanced_shares(scores, 200)
    torch.testing.assert_close(shares.sum(1), torch.ones(count))
    torch.testing.assert_close(shares.sum(0), torch.full((classes,), count / classes), rtol=1e-3, atol=1e-3)


def test_a_constant_on_a_row_or_a_column_changes_nothing() -> None:
    """Only what tells the classes apart image by image counts: a class that all images resemble gains nothing."""
    with seeded(0, "shares"):
        scores, rows, columns = torch.randn(9, 3), torch.randn(9, 1), torch.randn(1, 3)
    expected = balanced_shares(scores, 500)
    torch.testing.assert_close(balanced_shares(scores + rows + 3 * columns, 500), expected, rtol=1e-4, atol=1e-4)


def _world() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Features that show their fine class's attributes: seven coarse classes of three kinds, one of one."""
    parent = torch.cat([torch.arange(7).repeat_interleave(3), torch.tensor([7])])
    membership = parent == torch.arange(8)[:, None]
    with seeded(1, "world"):
        fine, mix = torch.randn(22, 4) + 2 * torch.randn(8, 4)[parent], torch.randn(4, 8)
        label = torch.arange(220) % 22
        shown = fine[label] + 0.6 * torch.randn(220, 4)
    return shown @ mix, fine, membership, parent, label


def _made(rounds: int) -> tuple[BalancedRegression, torch.Tensor, torch.Tensor]:
    rows, fine, membership, parent, label = _world()
    coarse = membership.float() @ fine / membership.sum(1, keepdim=True)
    method = BalancedRegression(8, coarse, fine, membership, parent[label], **SETTINGS, rounds=rounds)
    for part in torch.arange(220).split(64):
        method.keep(rows[part][:, :, None, None].expand(-1, -1, 2, 2), part)
    method.fit()
    return method, rows, label


def test_without_a_round_it_is_ridge_regression_on_coarse_attributes() -> None:
    method, rows, label = _made(0)
    _, fine, membership, parent, _ = _world()
    unit = (rows / rows.norm(dim=1, keepdim=True)).double()
    coarse = torch.stack([fine[children].mean(0) for children in membership]).double()
    middle, deviation = coarse.mean(0), (fine.double() - fine.double().mean(0)).square().mean(0).sqrt()
    weight, bias = literal.ridge(unit, ((coarse - middle) / deviation)[parent[label]], 1.0)
    torch.testing.assert_close(method.weight.double(), weight, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(method.bias.double(), bias, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(method.anchors.double(), (fine.double() - middle) / deviation)


def _hits(rounds: int) -> float:
    method, rows, label = _made(rounds)
    _, _, membership, parent, _ = _world()
    said = method(rows[:, :, None, None])
    among = [literal.candidates(c, membership) for c in parent[label].tolist()]
    named = [literal.nearest(each, method.anchors, kin) for each, kin in zip(said, among, strict=True)]
    return sum(a == b for a, b in zip(named, label.tolist(), strict=True)) / len(label)


def test_sharing_out_finds_siblings_that_coarse_labels_blur() -> None:
    blurred, shared = _hits(0), _hits(5)
    assert shared > 0.85 > blurred + 0.1, (blurred, shared)


def test_images_that_an_epoch_left_out_do_not_count() -> None:
    rows, fine, membership, parent, label = _world()
    coarse = membership.float() @ fine / membership.sum(1, keepdim=True)
    whole = BalancedRegression(8, coarse, fine, membership, parent[label], **SETTINGS, rounds=2)
    part = BalancedRegression(8, coarse, fine, membership, parent[label[:200]], **SETTINGS, rounds=2)
    for method in (whole, part):
        method.keep(rows[:200, :, None, None], torch.arange(200))
        method.fit()
    torch.testing.assert_close(whole.weight, part.weight)


def test_a_known_fine_class_is_neither_shared_nor_given_to_others() -> None:
    """Two of three siblings known: the third gets all that is left."""
    rows, fine, membership, parent, label = _world()
    coarse = membership.float() @ fine / membership.sum(1, keepdim=True)
    seen = torch.where(label % 3 != 0, label, -1)  # the first of every three siblings is not seen
    method = BalancedRegression(8, coarse, fine, membership, parent[label], **SETTINGS, rounds=1)
    method.keep(rows[:, :, None, None], torch.arange(220), seen)
    method.fit()
    unit = (rows / rows.norm(dim=1, keepdim=True)).double()
    weight, bias = literal.ridge(unit, method.anchors.double()[label], SETTINGS["strength"])
    torch.testing.assert_close(method.weight.double(), weight, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(method.bias.double(), bias, rtol=1e-4, atol=1e-4)


def test_an_attribute_that_all_classes_share_tells_nothing() -> None:
    rows, fine, membership, parent, label = _world()
    fine = torch.cat([fine, torch.ones(22, 1)], 1)
    coarse = membership.float() @ fine / membership.sum(1, keepdim=True)
    method = BalancedRegression(8, coarse, fine, membership, parent[label], **SETTINGS, rounds=1)
    method.keep(rows[:, :, None, None], torch.arange(220))
    method.fit()
    assert bool(torch.isfinite(method.weight).all()) and not bool(method.anchors[:, -1].any())


def _share(rank: int, world: int, folder: str) -> None:
    """Sums and kept features of one process's share of four batches."""
    torch.set_num_threads(1)
    if world > 1:
        dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=world)
    rows, fine, membership, parent, label = _world()
    coarse = membership.float() @ fine / membership.sum(1, keepdim=True)
    method = BalancedRegression(8, coarse, fine, membership, parent[label], **SETTINGS, rounds=2)
    sums = RidgeSums(8, 8)
    for batch in torch.arange(220).split(55):
        part = batch.split(-(-len(batch) // 2))[rank] if world > 1 else batch
        part = part[:27] if world > 1 else torch.cat([half[:27] for half in batch.split(28)])
        method.keep(rows[part][:, :, None, None], part)
        sums.add(rows[part], parent[label[part]])
    method.fit()
    weight, _ = sums.solve(coarse, 1.0)
    torch.save({"balanced": method.weight, "kept": method.kept, "ridge": weight}, f"{folder}/{world}.{rank}")
    if world > 1:
        dist.barrier()
        dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_keep_and_add_what_one_does(tmp_path: Path) -> None:
    _share(0, 1, str(tmp_path))
    mp.spawn(_share, (2, str(tmp_path)), nprocs=2)
    alone = torch.load(tmp_path / "1.0")
    for rank in range(2):
        for name, expected in torch.load(tmp_path / f"2.{rank}").items():
            torch.testing.assert_close(expected, alone[name])
