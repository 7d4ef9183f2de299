"""Classes at every level: names, probabilities, and the scores that Grad-CAM takes."""

from __future__ import annotations

import pytest
import torch

from linnet.errors import RunError, TaxonomyError
from linnet.explain.scores import Levels, find_class, find_level, readable
from linnet.methods.base import Prediction
from linnet.taxonomy import Taxonomy

TAXONOMY = Taxonomy(
    ("order", "genus", "species"),
    (("Birds",), ("Wren", "Tern"), ("House_Wren", "Wren", "Sea_Tern")),
    ((), (0, 0), (0, 0, 1)),
)
LEVELS = Levels(TAXONOMY, 1, 2)
FINE = torch.tensor([[1.0, 2.0, -1.0], [40.0, 0.0, 0.0]])


def test_levels_above_get_the_total_of_those_below() -> None:
    scores = LEVELS.scores(Prediction(torch.zeros(2, 1), None, FINE))
    assert list(scores) == [0, 1, 2]
    likely = torch.softmax(FINE, 1)
    torch.testing.assert_close(torch.softmax(scores[1], 1)[:, 0], likely[:, 0] + likely[:, 1])
    torch.testing.assert_close(torch.softmax(scores[0], 1), torch.ones(2, 1))


def test_log_probabilities_give_way_to_logits_which_keep_their_slope() -> None:
    total = torch.log(torch.stack([torch.softmax(FINE, 1)[:, :2].sum(1), torch.softmax(FINE, 1)[:, 2]], 1))
    scores = LEVELS.scores(Prediction(torch.zeros(2, 1), total, FINE))
    torch.testing.assert_close(scores[1], torch.stack([torch.logsumexp(FINE[:, :2], 1), FINE[:, 2]], 1))
    own = torch.tensor([[0.0, 3.0], [1.0, 1.0]])
    assert LEVELS.scores(Prediction(torch.zeros(2, 1), own, FINE))[1] is own


def test_what_classifies_only_coarsely_or_not_at_all() -> None:
    coarse = torch.tensor([[0.5, 1.0]])
    assert list(LEVELS.scores(Prediction(torch.zeros(1, 1), coarse))) == [0, 1]
    assert LEVELS.scores(Prediction(torch.zeros(1, 1))) == {}
    one = Levels(TAXONOMY, 1, 1)
    assert one.scores(Prediction(torch.zeros(1, 1), coarse))[1] is coarse


def test_a_class_is_found_at_the_finest_level_first() -> None:
    assert find_class(LEVELS, [0, 1, 2], "Wren") == (2, 1)
    assert find_class(LEVELS, [0, 1, 2], "Wren", "coarse") == (1, 0)
    assert find_class(LEVELS, [0, 1, 2], "House Wren") == (2, 0)
    assert find_class(LEVELS, [0, 1], "Birds", "order") == (0, 0)
    with pytest.raises(TaxonomyError, match=r"no class 'Hause Wren' \(level species, genus, order\).*'House_Wren'"):
        find_class(LEVELS, [0, 1, 2], "Hause Wren")
    with pytest.raises(TaxonomyError, match="no level 'family'"):
        find_level(LEVELS, [0, 1, 2], "family")
    with pytest.raises(RunError, match="names no species class; it names classes of: order, genus"):
        find_level(LEVELS, [0, 1], "fine")


def test_names_as_a_reader_writes_them() -> None:
    assert [readable(name) for name in ("Sooty_Albatross", "_")] == ["Sooty Albatross", "_"]
