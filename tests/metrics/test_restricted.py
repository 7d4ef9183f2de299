"""The restricted protocol and its floors against one image at a time."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from linnet.metrics import restricted
from linnet.metrics.accuracy import top_k
from linnet.metrics.restricted import largest_child, named_coarse, restricted_chance, restricted_top_k
from tests.reference import restricted as literal

VALUES = st.sampled_from([-torch.inf, -1.0, 0.0, 1.0, 2.0])


@dataclass(frozen=True)
class Case:
    parent: list[int]
    coarse: list[list[float]]
    fine: list[list[float]]
    targets: list[int]

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        return torch.tensor(self.fine), torch.tensor(self.targets), torch.tensor(self.parent)

    @property
    def named(self) -> list[int]:
        return [literal.named(row) for row in self.coarse]

    @property
    def right(self) -> list[float]:
        pairs = zip(self.targets, self.named, strict=True)
        return [float(target >= 0 and self.parent[target] == group) for target, group in pairs]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Unequal families, some without a child, ties, masked classes, unlabelled images."""
    groups, rows = draw(st.integers(1, 4)), draw(st.integers(1, 8))
    parent = draw(st.lists(st.integers(0, groups - 1), min_size=1, max_size=7))
    targets = draw(st.lists(st.integers(-1, len(parent) - 1), min_size=rows, max_size=rows))
    targets[0] = max(targets[0], 0)
    coarse, fine = (
        draw(st.lists(st.lists(VALUES, min_size=width, max_size=width), min_size=rows, max_size=rows))
        for width in (groups, len(parent))
    )
    return Case(parent, coarse, fine, targets)


@given(cases(), st.integers(1, 6))
def test_equal_to_one_image_at_a_time(case: Case, k: int) -> None:
    fine, targets, parent = case.tensors
    named = named_coarse(torch.tensor(case.coarse))
    assert named.tolist() == case.named
    found = restricted_top_k(fine, targets, named, parent, (k,))[k]
    assert found == pytest.approx(literal.restricted(case.parent, case.fine, case.targets, case.named, k))
    right = torch.tensor(case.right)
    assert restricted_chance(targets, parent, right, (k,))[k] == pytest.approx(
        literal.guessed(case.parent, case.targets, case.right, k)
    )
    assert largest_child(targets, parent, right) == pytest.approx(
        literal.largest(case.parent, case.targets, case.right)
    )


@given(cases())
def test_the_same_in_pieces(case: Case) -> None:
    """A few rows at a time."""
    fine, targets, parent = case.tensors
    named = torch.tensor(case.named)
    whole = restricted_top_k(fine, targets, named, parent, (1, 2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(restricted, "_CHUNK", 2 * len(parent))
        assert restricted_top_k(fine, targets, named, parent, (1, 2)) == whole


@given(cases())
def test_a_right_coarse_class_never_hurts(case: Case) -> None:
    """Told the true coarse class a method is at least as good as open, or as with its own coarse class."""
    fine, targets, parent = case.tensors
    true = torch.where(targets >= 0, parent[targets.clamp_min(0)], -1)
    oracle = restricted_top_k(fine, targets, true, parent, (1,))[1]
    assert oracle >= top_k(fine, targets, (1,))[1]
    assert oracle >= restricted_top_k(fine, targets, torch.tensor(case.named), parent, (1,))[1]


def test_a_wrong_coarse_class_is_wrong_for_every_k() -> None:
    """Also for a k as large as the number of fine classes, where open top-k accuracy is 100."""
    fine, targets, parent = torch.zeros(1, 3), torch.tensor([0]), torch.tensor([0, 0, 1])
    assert restricted_top_k(fine, targets, torch.tensor([1]), parent, (5,)) == {5: 0.0}
    assert restricted_top_k(fine, targets, torch.tensor([0]), parent, (1, 2)) == {1: 0.0, 2: 100.0}


def test_floors_of_unequal_classes() -> None:
    """One parent with one child, one with three of 6, 3 and 1 images."""
    parent = torch.tensor([0, 1, 1, 1])
    targets = torch.tensor([0] * 10 + [1] * 6 + [2] * 3 + [3])
    assert restricted_chance(targets, parent, 1.0, (1, 2))[1] == pytest.approx((10 + 10 / 3) * 5)
    assert restricted_chance(targets, parent, 0.5, (1, 2))[2] == pytest.approx((10 + 20 / 3) * 2.5)
    assert largest_child(targets, parent) == pytest.approx(80)
    right = torch.tensor([1.0] * 10 + [0.0] * 6 + [1.0] * 4)
    assert largest_child(targets, parent, right) == pytest.approx(50)  # the largest child's images all went wrong


def test_guessing_a_child_scores_its_floor() -> None:
    """Random fine logits of 20,000 images, families of 1, 2 and 5, coarse right in about two of three."""
    draw = torch.Generator().manual_seed(0)
    parent = torch.tensor([0, 1, 1, 2, 2, 2, 2, 2])
    targets = torch.randint(8, (20000,), generator=draw)
    right = torch.rand(20000, generator=draw) < 2 / 3
    coarse = torch.where(right, parent[targets], (parent[targets] + 1) % 3)
    fine = torch.rand(20000, 8, generator=draw)
    floor = restricted_chance(targets, parent, right, (1, 2))
    for k, value in restricted_top_k(fine, targets, coarse, parent, (1, 2)).items():
        assert value == pytest.approx(floor[k], abs=1)


def test_shapes_that_do_not_fit_and_nothing_to_score() -> None:
    fine, targets, parent = torch.zeros(2, 3), torch.tensor([0, 1]), torch.tensor([0, 0, 1])
    for wrong in ({"ks": ()}, {"ks": (0,)}, {"parent": parent[:2]}, {"coarse": targets[:1]}):
        with pytest.raises(ValueError, match="need \\(n, F\\)"):
            restricted_top_k(**{"fine_logits": fine, "targets": targets, "coarse": targets, "parent": parent} | wrong)
    with pytest.raises(ValueError, match="nothing to score"):
        restricted_chance(torch.tensor([-1]), parent)
