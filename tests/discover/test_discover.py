"""Planted clusters are found, kept on disk, and come out the same whatever the order of the images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from linnet.discover import Settings, Subjects, discover, open_discovery, save_discovery, score
from linnet.errors import RecipeError, RunError, SupervisionError
from linnet.metrics.clusters import matched
from linnet.randomness import permutation
from tests.discover.planted import planted

FAST = Settings(clusters="true", repeats=2)
AUTO = Settings(most=5)


def test_planted_clusters_are_found_and_their_number_too() -> None:
    found = discover(planted(), AUTO)
    whole, parts = score(found)
    assert [len(there) for there in found.clusters] == [4, 2]
    assert whole.figures["cluster_accuracy"] > 99 and whole.figures["cluster_ari_within"] > 99
    assert 20 < whole.chance["cluster_accuracy"] < 60 and whole.majority["cluster_accuracy"] == pytest.approx(100 / 3)
    assert [part.images for part in parts] == [120, 60]
    assert all(each.stability is not None and each.stability > 0.9 for there in found.clusters for each in there)


def test_without_clusters_there_is_one() -> None:
    found = discover(planted((1,), images=80, spread=1.0), AUTO)
    assert len(found.clusters[0]) == 1
    assert (found.strength == 1).all()


def test_a_given_and_the_known_number() -> None:
    subjects = planted()
    assert [len(there) for there in discover(subjects, replace(FAST, clusters=3)).clusters] == [3, 3]
    assert [len(there) for there in discover(subjects, replace(FAST, clusters="true")).clusters] == [4, 2]
    blank = Subjects.of(subjects.embedding, subjects.coarse)
    with pytest.raises(SupervisionError, match="no image of '0' has a fine label"):
        discover(blank, replace(FAST, clusters="true"))
    with pytest.raises(SupervisionError, match="nothing to measure"):
        score(discover(blank, replace(FAST, clusters=2)))


@pytest.mark.parametrize(
    "settings", [replace(AUTO, repeats=2), Settings(method="hdbscan", repeats=2), Settings(clusters=3, pca=4)]
)
def test_the_order_of_images_does_not_count(settings: Settings) -> None:
    subjects = planted(spread=0.8)
    order = permutation(len(subjects.images), 1, "shuffle")
    shuffled = Subjects(
        subjects.embedding[order],
        [subjects.images[i] for i in order],
        np.arange(len(order)),
        [""] * len(order),
        subjects.coarse_names,
        subjects.coarse[order],
        subjects.fine_names,
        subjects.fine[order],
    )
    one, other = discover(subjects, settings), discover(shuffled, settings)
    assert dict(zip(one.images, one.cluster.tolist(), strict=True)) == dict(
        zip(other.images, other.cluster.tolist(), strict=True)
    )
    assert one.clusters == other.clusters


def test_hdbscan_loses_no_image() -> None:
    subjects = planted(spread=0.5)
    far = np.concatenate([subjects.embedding, -subjects.embedding[:3] * [[1], [-3], [0.1]]]).astype(np.float32)
    far[-2] = np.linspace(5, -5, 16)
    with_far = Subjects.of(far, np.append(subjects.coarse, [0, 0, 0]), fine=np.append(subjects.fine, [0, 0, 0]))
    found = discover(with_far, Settings(method="hdbscan", least=10, repeats=2))
    assert [len(there) for there in found.clusters] == [4, 2]
    alone = found.members(0, -1)
    assert {180, 181} <= set(alone.tolist())
    everyone = [place for c in range(2) for k in (-1, *(e.number for e in found.clusters[c])) for place in
                found.members(c, k).tolist()]  # fmt: skip
    assert sorted(everyone) == list(range(183))
    assert (found.strength[alone] == 0).all() and set(found.typical(0, -1, 99)) == set(alone)
    assert score(found)[0].figures["unclustered"] == pytest.approx(100 * len(found.members(0, -1)) / 183, abs=1)


def test_typical_images_are_central_and_borderline_ones_between() -> None:
    found = discover(planted(spread=1.0), replace(FAST, clusters="true"))
    for each in found.clusters[0]:
        members = found.members(0, each.number)
        typical, border = found.typical(0, each.number, 5), found.borderline(0, each.number, 5)
        assert set(typical) | set(border) <= set(members)
        centre = found.vectors[members].mean(0)
        near = found.vectors[members] @ centre
        assert np.allclose(sorted(found.vectors[typical] @ centre), sorted(near)[-5:], atol=1e-6)
        assert found.strength[border].max() <= np.sort(found.strength[members])[4] + 1e-6


def test_it_comes_back_from_disk_and_saves_over_itself(tmp_path: Path) -> None:
    found = discover(planted(), FAST)
    save_discovery(found, tmp_path)
    again = open_discovery(tmp_path)
    for name in ("rows", "coarse", "fine", "vectors", "cluster"):
        assert np.array_equal(getattr(again, name), getattr(found, name)), name
    assert (again.images, again.splits, again.clusters, again.card) == (
        found.images,
        found.splits,
        found.clusters,
        found.card,
    )
    before = {path.name for path in tmp_path.iterdir()}
    save_discovery(replace(again, cluster=again.cluster.copy()), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == before and len(before) == 5


@pytest.mark.parametrize("kind", ["images", "arrays", "vectors", "labels"])
def test_a_changed_file_is_refused(tmp_path: Path, kind: str) -> None:
    save_discovery(discover(planted(), FAST), tmp_path)
    file = next(tmp_path.glob(f"{kind}-*"))
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(RunError, match=f"{kind}-.*changed since it was written"):
        open_discovery(tmp_path)
    file.unlink()
    with pytest.raises(RunError, match="missing"):
        open_discovery(tmp_path)


def test_no_discovery(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no discovery"):
        open_discovery(tmp_path)
    save_discovery(discover(planted(), FAST), tmp_path)
    card = (tmp_path / "discovery.json").read_text()
    (tmp_path / "discovery.json").write_text(card.replace('"format": 1', '"format": 9'))
    with pytest.raises(RunError, match="format 9"):
        open_discovery(tmp_path)
    (tmp_path / "discovery.json").write_text(card.replace('"number": 3', '"number": 7'))
    with pytest.raises(RunError, match="do not fit each other"):
        open_discovery(tmp_path)


def test_what_is_done_is_kept(tmp_path: Path) -> None:
    subjects = planted()

    def broken_off(coarse: str, images: int, clusters: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        discover(subjects, FAST, keep=tmp_path, done=broken_off)
    kept = list(tmp_path.glob("class-*"))
    assert len(kept) == 1
    stamp = kept[0].stat().st_mtime_ns
    found = discover(subjects, FAST, keep=tmp_path)
    assert kept[0].stat().st_mtime_ns == stamp and len(list(tmp_path.glob("class-*"))) == 2
    plain = discover(subjects, FAST)
    assert np.array_equal(found.cluster, plain.cluster) and found.clusters == plain.clusters
    assert found.card == plain.card
    discover(subjects, replace(FAST, seed=1), keep=tmp_path)
    assert len(list(tmp_path.glob("class-*"))) == 4, "another seed is another clustering"


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ({"method": "kmeans"}, "did you mean 'k-means'"),
        ({"clusters": "some"}, "give a number, auto or true"),
        ({"clusters": 0}, "give 1 or more"),
        ({"method": "hdbscan", "clusters": 4}, "HDBSCAN finds the number itself"),
        ({"most": 1}, "give 2 or more"),
    ],
)
def test_settings_that_are_not_allowed(given: dict[str, object], part: str) -> None:
    with pytest.raises(RecipeError, match=part):
        Settings(**given)  # type: ignore[arg-type]


def test_one_matching_over_all_is_one_for_each_coarse_class() -> None:
    found = discover(planted(spread=2.5), FAST)
    whole, parts = score(found)
    joint = found.coarse * 10 + found.cluster
    assert whole.figures["cluster_accuracy"] == pytest.approx(100 * matched(joint, found.fine) / len(found))
    weighted = sum(part.figures["cluster_accuracy"] * part.images for part in parts) / len(found)
    assert whole.figures["cluster_accuracy"] == pytest.approx(weighted)
    assert whole.figures["cluster_accuracy"] < 100
