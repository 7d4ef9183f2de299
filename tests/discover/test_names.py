"""Named clusters become fine labels in a new manifest, and nothing that was known is lost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from linnet.discover import Discovery, Settings, discover, merge, read_names, rename, to_manifest, write_names
from linnet.errors import ManifestError, RunError, TaxonomyError
from linnet.manifest import Manifest, read_manifest, write_manifest
from linnet.taxonomy import Taxonomy
from tests.discover.planted import planted

FOUND = discover(planted((3, 2), spread=1.0), Settings(clusters="true", repeats=2))


def manifest_of(discovery: Discovery, fine: bool = False) -> Manifest:
    """The manifest of a discovery, row for row: coarse labels, and with `fine` some fine ones."""
    levels = (("coarse",), (discovery.coarse_names,), ((),))
    targets = discovery.coarse[:, None]
    if fine:
        parents = tuple(0 if f < 3 else 1 for f in range(5))
        levels = (("coarse", "fine"), (discovery.coarse_names, ("a", "b", "c", "d", "e")), ((), parents))
        known = np.where(np.arange(len(discovery)) % 10 == 0, discovery.fine, -1)
        targets = np.stack([discovery.coarse, known], 1)
    codes = np.array([["train", "test"].index(split or "train") for split in discovery.splits], np.int8)
    images = pa.array(discovery.images, pa.string())
    return Manifest("photos", Path(), images, Taxonomy(*levels), targets, ("train", "test"), codes)


def with_test(discovery: Discovery, every: int = 5) -> Discovery:
    return replace(discovery, splits=tuple("test" if i % every == 0 else "train" for i in range(len(discovery))))


def test_named_clusters_are_labels_and_others_stay_coarse(tmp_path: Path) -> None:
    named = with_test(rename(rename(FOUND, 0, 0, "robin"), 0, 2, "wren"))
    made = to_manifest(named, manifest_of(named))
    assert made.manifest.taxonomy.levels == ("coarse", "fine")
    assert made.manifest.taxonomy.classes[1] == ("robin", "wren")
    labels = made.manifest.labels("fine")
    test = np.array([split == "test" for split in named.splits])
    robin = (named.coarse == 0) & (named.cluster == 0)
    assert np.array_equal(labels == 0, robin & ~test)
    assert (labels[named.coarse == 1] == -1).all() and (labels[test] == -1).all()
    assert made.childless == ("1",) and made.held == test.sum() and made.named == (labels >= 0).sum()
    assert made.named + made.known + made.weak + made.unnamed + made.held == len(named)
    everyone = to_manifest(named, manifest_of(named), hold=(), level="species")
    assert everyone.held == 0 and everyone.manifest.taxonomy.levels[1] == "species"
    write_manifest(made.manifest, tmp_path / "new.csv")
    again = read_manifest(tmp_path / "new.csv")
    assert again.images.to_pylist() == made.manifest.images.to_pylist()
    assert (again.labels("fine") >= 0).sum() == made.named


def test_only_firm_images_are_labelled() -> None:
    named = rename(FOUND, 0, 0, "robin")
    made = to_manifest(named, manifest_of(named), strength=0.5)
    members = named.members(0, 0)
    assert np.array_equal(np.flatnonzero(made.manifest.labels("fine") >= 0), members[named.strength[members] >= 0.5])
    assert made.weak == (named.strength[members] < 0.5).sum() > 0


def test_known_labels_stay_and_names_join_known_classes() -> None:
    majority = int(np.bincount(FOUND.fine[FOUND.members(0, 0)]).argmax())
    named = rename(FOUND, 0, 0, "abc"[majority])
    before = manifest_of(named, fine=True)
    made = to_manifest(named, before)
    known = before.labels("fine") >= 0
    assert np.array_equal(made.manifest.labels("fine")[known], before.labels("fine")[known])
    assert made.manifest.taxonomy == before.taxonomy and made.known == known.sum()
    assert made.named == (~known[named.members(0, 0)]).sum()


def test_clusters_of_one_name_are_one_class() -> None:
    named = rename(rename(FOUND, 0, 0, "robin"), 0, 1, "robin")
    whole = merge(named, 0, [0, 1])
    one, other = (to_manifest(each, manifest_of(each)).manifest for each in (named, whole))
    assert one.fingerprint == other.fingerprint and one.taxonomy.classes[1] == ("robin",)


def test_names_that_cannot_be() -> None:
    both = rename(rename(FOUND, 0, 0, "robin"), 1, 0, "robin")
    with pytest.raises(TaxonomyError, match="'robin', cluster 0 of 1, and under 0"):
        to_manifest(both, manifest_of(both))
    with pytest.raises(TaxonomyError, match="'d', cluster 0 of 0, and under 1"):
        to_manifest(rename(FOUND, 0, 0, "d"), manifest_of(FOUND, fine=True))
    with pytest.raises(TaxonomyError, match="below 'coarse' lies 'fine'"):
        to_manifest(rename(FOUND, 0, 0, "robin"), manifest_of(FOUND, fine=True), level="species")
    with pytest.raises(RunError, match="no cluster has a name yet"):
        to_manifest(FOUND, manifest_of(FOUND))
    with pytest.raises(RunError, match="not the images that were clustered"):
        to_manifest(both, manifest_of(both).select(np.arange(10)))


def test_the_table_goes_out_and_comes_back(tmp_path: Path) -> None:
    table = tmp_path / "names.csv"
    write_names(rename(FOUND, 0, 1, 'wren, "house"'), table)
    lines = table.read_text().splitlines()
    assert lines[0] == "coarse,cluster,name,images,stability,typical" and len(lines) == 6
    back = read_names(FOUND, table)
    assert back.get(0, 1).name == 'wren, "house"' and back.get(0, 0).name == ""
    short = tmp_path / "short.csv"
    short.write_text("coarse;cluster;name\n1;1;tern\n")
    assert read_names(back, short).get(1, 1).name == "tern"
    assert read_names(back, short).get(0, 1).name == 'wren, "house"'


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("coarse,cluster,name\n0,9,x\n", "line 2: 0 has no cluster 9"),
        ("coarse,cluster,name\n0,one,x\n", "line 2: cluster 'one' is no number"),
        ("coarse,cluster,name\n0,-1,x\n", "line 2: cluster '-1' is no number"),
        ("coarse,cluster,name\nbirds,0,x\n", "line 2: no coarse class 'birds'"),
        ("coarse,cluster,name\n0,0,x\n0,0,y\n", "line 3: cluster 0 of 0 again, after .*line 2"),
        ("coarse,cluster,name,images\n0,0,x,1\n", "has [0-9]+ images, here 1: it was changed since"),
    ],
)
def test_rows_that_do_not_fit(tmp_path: Path, text: str, part: str) -> None:
    table = tmp_path / "names.csv"
    table.write_text(text)
    with pytest.raises(RunError, match=part):
        read_names(FOUND, table)


def test_a_table_without_names(tmp_path: Path) -> None:
    (tmp_path / "names.csv").write_text("coarse,cluster\n0,1\n")
    with pytest.raises(ManifestError, match="name"):
        read_names(FOUND, tmp_path / "names.csv")
