"""WordNet's levels: paper 002's subset rule and the one path of every synset, on small trees and on the real one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linnet.datasets.wordnet import Parents, ancestors, one_path, parents_of_leaves, read_is_a, read_words
from linnet.errors import DataError

SYNSETS = Path(__file__).parents[1] / "reference" / "ilsvrc2010.txt"


def tree(text: str) -> Parents:
    """Parents from 'dog: husky poodle; cat: tabby'."""
    found: dict[str, list[str]] = {}
    for line in text.split(";"):
        parent, _, children = line.partition(":")
        for child in children.split():
            found.setdefault(child, []).append(parent.strip())
    return {child: sorted(above) for child, above in found.items()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("root: dog cat; dog: husky poodle; cat: tabby manx", "husky dog, poodle dog, tabby cat, manx cat"),
        ("root: dog cat; dog: husky poodle; cat: tabby", "husky dog, poodle dog"),  # one child is no class
        ("root: dog; dog: husky poodle toy; toy: pug chin", "pug toy, chin toy"),  # a coarse class above a coarse one
        ("root: dog; dog: husky poodle toy; toy: pug", ""),  # toy is not a given synset but has one below it
        ("root: dog pet; dog: husky poodle; pet: poodle tabby", ""),  # poodle is under both
        ("root: dog pet; dog: husky poodle; pet: poodle", ""),  # a second parent, even of one child alone
        ("root: dog; dog: husky poodle unseen", "husky dog, poodle dog"),  # what has no images is trimmed
        ("root: husky poodle", "husky root, poodle root"),
    ],
)
def test_parents_of_leaves(text: str, expected: str) -> None:
    parents = tree(text)
    images = [name for name in ("husky", "poodle", "tabby", "manx", "pug", "chin") if name in parents]
    assert parents_of_leaves(images, parents) == dict(pair.split() for pair in expected.split(", ") if pair)


def literal_rule(synsets: list[str], parents: Parents) -> dict[str, str]:
    """The rule as its words go, class by class."""
    above = {synset: ancestors([synset], parents) for synset in synsets}
    there = set(synsets).union(*above.values())
    kept = {}
    for coarse in there:
        below = [synset for synset in there if coarse in parents.get(synset, ())]
        leaves = [s for s in below if s in synsets and not any(s in parents.get(other, ()) for other in there)]
        only = [synset for synset in leaves if parents[synset] == [coarse]]
        if len(below) >= 2 and len(only) == len(below):
            kept |= dict.fromkeys(only, coarse)
    return kept


@given(
    st.dictionaries(st.integers(1, 15), st.sets(st.integers(0, 14), min_size=1, max_size=2), max_size=15),
    st.sets(st.integers(1, 15), min_size=1),
)
def test_the_rule_as_its_words_go(edges: dict[int, set[int]], images: set[int]) -> None:
    # A parent's number is below its child's, so that there is no cycle.
    parents = {f"n{c}": sorted(f"n{p}" for p in above if p < c) for c, above in edges.items()}
    parents = {child: above for child, above in parents.items() if above}
    synsets = [f"n{number}" for number in sorted(images)]
    found = parents_of_leaves(synsets, parents)
    assert found == literal_rule(synsets, parents)
    paths = one_path(synsets, parents)
    above = {path[: number + 1] for path in paths.values() for number in range(len(path))}
    assert len({path[-1] for path in above}) == len(above), "one path down to every synset: a tree"


def test_one_path_takes_the_parent_nearest_to_the_root() -> None:
    parents = tree("root: animal thing; animal: dog; dog: pug husky; thing: pet toy; pet: pug; toy: pug")
    assert one_path(["pug", "husky"], parents) == {
        "pug": ("root", "animal", "dog", "pug"),
        "husky": ("root", "animal", "dog", "husky"),
    }
    assert one_path(["pug"], tree("root: a; a: b; b: pug; root: z; z: pug"))["pug"] == ("root", "z", "pug")
    with pytest.raises(DataError, match=r"without a way to a root[^$]*b"):
        one_path(["b"], {"a": ["b"], "b": ["a"]})


def test_the_official_formats(tmp_path: Path) -> None:
    path = tmp_path / "wordnet.is_a.txt"
    path.write_text("n00000001 n00000003\nn00000002 n00000003\n\nn00000001 n00000002\n")
    assert read_is_a(path) == {"n00000003": ["n00000001", "n00000002"], "n00000002": ["n00000001"]}
    path.write_text("n00000001 n00000003\nn00000002\n")
    with pytest.raises(DataError, match="line 2: 'n00000002'"):
        read_is_a(path)
    path.write_text("n00000001\tentity, thing\nn00000002\t crane \n")
    assert read_words(path) == {"n00000001": "entity", "n00000002": "crane"}
    path.write_text("n00000001 entity\n")
    with pytest.raises(DataError, match="line 1: 'n00000001 entity'"):
        read_words(path)


def test_ilsvrc_2010_gives_the_papers_subset(data_folder: Path) -> None:
    source = data_folder / "lists" / "cvjena_semantic_embeddings" / "ILSVRC" / "wordnet.parent-child.txt"
    if not source.is_file():
        pytest.skip("LINNET_DATA is set, and holds no WordNet hierarchy under lists/")
    words = " ".join(line for line in SYNSETS.read_text().splitlines() if not line.startswith("#")).split()
    images = dict(zip(words[::2], map(int, words[1::2]), strict=True))
    kept = parents_of_leaves(list(images), read_is_a(source))
    children = Counter(kept.values())
    assert (len(images), len(children), len(kept)) == (1000, 143, 387), "section V-C"
    sizes = Counter(children.values())
    assert (sizes[2], sizes[3], max(sizes)) == (94, 26, 9)
    assert sum(images[fine] for fine in kept) == 487_809
    assert (min(images[fine] for fine in kept), max(images[fine] for fine in kept)) == (668, 2_426)
    per_coarse: Counter[str] = Counter()
    for fine, coarse in kept.items():
        per_coarse[coarse] += images[fine]
    assert (min(per_coarse.values()), max(per_coarse.values())) == (1_454, 9_790)
