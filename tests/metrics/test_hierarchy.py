"""Metrics of a hierarchy against brute force, and their floors against every guess there is."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from linnet.metrics import hierarchy
from linnet.metrics.accuracy import top_k
from linnet.metrics.chance import distance_chance, implied_coarse_chance, severity_chance
from linnet.metrics.units import lower_is_better, unit
from linnet.taxonomy import Taxonomy
from tests.reference import hierarchy as literal


@dataclass(frozen=True)
class Case:
    """Images of a tree; `parent` says the coarsest class of each fine one."""

    tree: Taxonomy
    logits: list[list[float]]
    targets: list[int]

    @property
    def parent(self) -> list[int]:
        return list(self.tree.ancestor().tolist())

    @property
    def distance(self) -> torch.Tensor:
        return torch.from_numpy(self.tree.distance())

    @property
    def coarse(self) -> list[int]:
        return [self.parent[t] if t >= 0 else -1 for t in self.targets]


@st.composite
def trees(draw: st.DrawFn) -> Taxonomy:
    """Two to four levels; some classes may be without children."""
    counts = [draw(st.integers(1, 3))]
    parents: list[tuple[int, ...]] = [()]
    for _ in range(draw(st.integers(1, 3))):
        below = draw(st.lists(st.integers(0, counts[-1] - 1), min_size=1, max_size=6))
        parents.append(tuple(below))
        counts.append(len(below))
    names = tuple(f"level{number}" for number in range(len(counts)))
    classes = tuple(tuple(f"{n}{c}" for c in range(count)) for n, count in zip("abcd", counts, strict=False))
    return Taxonomy(names, classes, tuple(parents))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Few different logits, so that there are ties, and minus infinity for classes that are masked out."""
    tree = draw(trees())
    classes, rows = tree.count(-1), draw(st.integers(1, 8))
    value = st.sampled_from([-torch.inf, -1.0, 0.0, 1.0, 2.0])
    logits = draw(st.lists(st.lists(value, min_size=classes, max_size=classes), min_size=rows, max_size=rows))
    targets = draw(st.lists(st.integers(-1, classes - 1), min_size=rows, max_size=rows).filter(lambda t: max(t) >= 0))
    return Case(tree, logits, targets)


@given(cases())
def test_severity_and_distance_equal_brute_force(case: Case) -> None:
    logits, targets = torch.tensor(case.logits), torch.tensor(case.targets)
    severity = hierarchy.mistake_severity(logits, targets, case.distance)
    assert severity == pytest.approx(literal.mistake_severity(case.tree.parents, case.logits, case.targets))
    found = hierarchy.hierarchical_distance(logits, targets, case.distance, (1, 2, 5))
    assert list(found) == [k for k in (1, 2, 5) if k <= logits.shape[1]]
    for k, value in found.items():
        expected = literal.hierarchical_distance(case.tree.parents, case.logits, case.targets, k)
        assert value == pytest.approx(expected)


@given(cases(), st.data())
def test_coarse_figures_equal_brute_force(case: Case, data: st.DataObject) -> None:
    logits, parent = torch.tensor(case.logits), torch.tensor(case.parent)
    found = hierarchy.implied_coarse_top1(logits, torch.tensor(case.coarse), parent)
    assert found == pytest.approx(literal.implied_coarse_top1(case.parent, case.logits, case.coarse))
    classes = case.tree.count(0)
    rows = st.lists(st.integers(0, 2), min_size=classes, max_size=classes)
    coarse = data.draw(st.lists(rows, min_size=len(logits), max_size=len(logits)))
    both = hierarchy.level_consistency(logits, torch.tensor(coarse, dtype=torch.float32), parent)
    assert both == pytest.approx(literal.level_consistency(case.parent, case.logits, coarse))


@given(cases())
def test_accuracy_over_classes_with_siblings(case: Case) -> None:
    several = hierarchy.without_singletons(torch.tensor(case.targets), torch.tensor(case.parent))
    expected = literal.nonsingleton_top1(case.parent, case.logits, case.targets)
    assert bool((several >= 0).any()) == (expected is not None)
    if expected is not None:
        assert top_k(torch.tensor(case.logits), several, (1,))[1] == pytest.approx(expected)


@given(cases())
def test_floors_are_the_mean_over_all_guesses(case: Case) -> None:
    """One-hot logits for each class in turn are the guesses for k = 1; all pairs of classes those for k = 2."""
    classes, labels = case.tree.count(-1), np.array(case.targets)
    distance, known = case.tree.distance(), labels >= 0
    heights = [[literal.height(case.tree.parents, int(t), f) for f in range(classes)] for t in labels[known]]
    assert distance_chance(labels, distance) == pytest.approx(np.mean(heights))
    pairs = [np.mean([row[a], row[b]]) for row in heights for a, b in combinations(range(classes), 2)]
    if pairs:
        assert distance_chance(labels, distance) == pytest.approx(np.mean(pairs))
        wrong = [h for row, t in zip(heights, labels[known], strict=True) for f, h in enumerate(row) if f != t]
        assert severity_chance(labels, distance) == pytest.approx(np.mean(wrong))
    else:
        assert severity_chance(labels, distance) is None
    guesses = torch.eye(classes)
    right = [
        hierarchy.implied_coarse_top1(
            guesses[f].expand(len(labels), -1), torch.tensor(case.coarse), torch.tensor(case.parent)
        )
        for f in range(classes)
    ]
    assert implied_coarse_chance(np.array(case.coarse), np.array(case.parent)) == pytest.approx(np.mean(right))


TREE = Taxonomy(("coarse", "fine"), (("a", "b"), ("a1", "a2", "b1")), ((), (0, 0, 1)))


def test_known_figures() -> None:
    """Three images of a1: named right, as its sibling, as a stranger."""
    logits, targets = torch.eye(3), torch.zeros(3, dtype=torch.int64)
    distance = torch.from_numpy(TREE.distance())
    assert hierarchy.mistake_severity(logits, targets, distance) == 1.5
    assert hierarchy.hierarchical_distance(logits, targets, distance) == {1: 1.0}
    assert hierarchy.hierarchical_distance(logits, targets, distance, (5, 20)) == {}
    assert hierarchy.implied_coarse_top1(logits, targets, torch.tensor([0, 0, 1])) == pytest.approx(200 / 3)
    assert hierarchy.without_singletons(torch.tensor([0, 2, -1]), torch.tensor([0, 0, 1])).tolist() == [0, -1, -1]


def test_no_mistake_has_no_severity() -> None:
    assert hierarchy.mistake_severity(torch.eye(3), torch.arange(3), torch.from_numpy(TREE.distance())) is None


def test_many_rows_are_looked_at_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same figures, however many logits are looked at together."""
    logits = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    targets, distance = torch.arange(50) % 3, torch.from_numpy(TREE.distance())
    whole = hierarchy.hierarchical_distance(logits, targets, distance, (1, 2))
    monkeypatch.setattr(hierarchy, "_CHUNK", 7)
    assert hierarchy.hierarchical_distance(logits, targets, distance, (1, 2)) == whole


def test_what_does_not_fit_is_refused() -> None:
    distance, parent = torch.from_numpy(TREE.distance()), torch.tensor([0, 0, 1])
    with pytest.raises(ValueError, match=r"distance \(3, 3\) of 4 classes"):
        hierarchy.mistake_severity(torch.zeros(2, 4), torch.zeros(2, dtype=torch.int64), distance)
    for ks in ((), (0, 1), (-1,)):
        with pytest.raises(ValueError, match="each at least 1"):
            hierarchy.hierarchical_distance(torch.eye(3), torch.arange(3), distance, ks)
    with pytest.raises(ValueError, match="logits of row 1 contain NaN"):
        broken = torch.tensor([[0.0, 1.0, 2.0], [0.0, torch.nan, 2.0]])
        hierarchy.implied_coarse_top1(broken, torch.tensor([0, 1]), parent)
    with pytest.raises(ValueError, match=r"need \(n, F\) and \(F,\)"):
        hierarchy.level_consistency(torch.zeros(2, 4), torch.zeros(2, 2), parent)
    for floor in (
        lambda none: distance_chance(none, TREE.distance()),
        lambda none: severity_chance(none, TREE.distance()),
        lambda none: implied_coarse_chance(none, np.array([0, 0, 1])),
    ):
        with pytest.raises(ValueError, match="nothing to score"):
            floor(np.array([-1, -1]))


def test_units_and_directions() -> None:
    assert [unit(name) for name in ("fine_top1", "mistake_severity", "hierarchical_distance@5")] == [
        "%",
        "levels",
        "levels",
    ]
    assert unit("effective_rank") == "dimensions"
    assert [lower_is_better(name) for name in ("fine_top1", "mistake_severity", "hierarchical_distance@5")] == [
        False,
        True,
        True,
    ]
