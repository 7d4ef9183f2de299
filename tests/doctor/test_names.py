"""Names that are nearly the same, and classes named after another coarse class."""

from __future__ import annotations

import pytest

from linnet.doctor.names import alike_names, name_findings, suffix_slips
from linnet.taxonomy import Taxonomy


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("Laysan Albatross", "laysan_albatross", True),
        ("Laysan_Albatross", "Laysan_Albatros", True),
        ("Laysan_Albatross", "Layasn_Albatross", True),
        ("Laysan_Albatross", "Sooty_Albatross", False),
        ("rose", "nose", False),
        ("Boeing 707-320", "Boeing 707-420", False),
        ("Boeing 707-32", "Boeing 707-320", False),
        ("café noir", "cafe noir", True),
    ],
)
def test_alike_names(one: str, other: str, alike: bool) -> None:
    assert bool(alike_names([one, "something else", other])) is alike


def test_suffix_slips() -> None:
    coarse = ("Tern", "Towhee", "Old World Warbler", "Warbler", "Owl")
    names = ("Arctic_Tern", "Green_tailed_Towhee", "Reed Warbler", "Hooded Warbler", "Towhee")
    found = suffix_slips(names, coarse, (0, 0, 2, 3, 4))
    assert found == [("Green_tailed_Towhee", "Tern", "Towhee")]


def test_one_letter_counts_among_siblings_alone() -> None:
    tree = Taxonomy(("coarse", "fine"), (("farm", "town"), ("cattle", "castle", "castles")), ((), (0, 1, 1)))
    (found,) = name_findings(tree)
    assert [item.classes for item in found.items] == [("castle", "castles")]
