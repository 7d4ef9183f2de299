"""Images added, changed, relabelled and removed; what is killed on the way leaves the old state and goes on."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from linnet.datasets import load_data
from linnet.errors import ManifestError, RunError, TaxonomyError
from linnet.search import Index, build_index, update
from linnet.search.collection import Collection, read_collection
from linnet.search.embedders import bundle_embedder
from linnet.search.merge import merge_taxonomies, renumber
from linnet.search.update import Added, add_approximate, add_images, remove_images
from linnet.taxonomy import Taxonomy
from tests.search.made import photos, tiny_run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos, and an index of those of the split test."""
    folder = tmp_path_factory.mktemp("update")
    photos(folder / "data")
    build_index(tiny_run(), folder / "data", folder / "index", splits=["test"], engine="torch", progress=False)
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made / "index", tmp_path / "index")
    return tmp_path


def everything(made: Path) -> Index:
    return build_index(tiny_run(), made / "data", made / "whole", engine="torch", progress=False)


def vectors_by_name(index: Index) -> dict[str, bytes]:
    return {name: index.vectors[row].tobytes() for row, name in enumerate(index.names)}


def test_only_what_is_new_is_embedded(made: Path, here: Path) -> None:
    embedder, collection = bundle_embedder(tiny_run(), "torch"), read_collection(None, made / "data")
    index, added = add_images(here / "index", collection, embedder, progress=False)
    assert added == Added(72, 0, 48)
    whole = everything(made)
    assert sorted(index.names) == sorted(whole.names)
    close = vectors_by_name(whole)
    for row, name in enumerate(index.names):
        np.testing.assert_allclose(index.vectors[row], np.frombuffer(close[name], "<f4"), atol=1e-6)
    assert set(index.splits) == {"train", "test"}
    before = (here / "index/index.json").read_bytes()
    assert add_images(here / "index", collection, embedder, progress=False)[1] == Added(0, 0, 120)
    assert (here / "index/index.json").read_bytes() == before
    other = bundle_embedder(tiny_run(seed=1), "torch")
    with pytest.raises(RunError, match="did not make"):
        add_images(here / "index", collection, other, progress=False)
    with pytest.raises(RunError, match="no index"):
        add_images(here / "nowhere", collection, embedder, progress=False)


def test_changed_images_are_embedded_again_and_labels_follow(tmp_path: Path) -> None:
    manifest = photos(tmp_path / "data")
    embedder = bundle_embedder(tiny_run(), "torch")
    first = build_index(embedder, Collection.of(manifest), tmp_path / "index", progress=False)
    manifest.path(5).write_bytes(manifest.path(90).read_bytes())
    table = tmp_path / "data/manifest.csv"
    lines = table.read_text().splitlines()
    cells = lines[8].split(",")
    lines[8] = ",".join([*cells[:-1], ""])
    table.write_text("\n".join(lines))
    index, added = add_images(tmp_path / "index", Collection.of(load_data(tmp_path / "data")), embedder, progress=False)
    assert added == Added(0, 1, 119) and len(index) == 120 == len(set(index.names))
    old, new = vectors_by_name(first), vectors_by_name(index)
    differing = [name for name in old if old[name] != new[name]]
    assert differing == [first.names[5]]
    np.testing.assert_allclose(index.vectors[index.names.index(first.names[5])], first.vectors[90], atol=1e-5)
    row = index.names.index(first.names[7])
    assert first.targets[7, 1] >= 0 and index.targets[row, 1] == -1
    np.testing.assert_array_equal(Index.open(tmp_path / "index").vectors, index.vectors)


@pytest.mark.parametrize("where", ["write_card", "_drop", "extend"])
def test_an_addition_that_is_broken_off_goes_on(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = photos(tmp_path / "data")
    embedder, rows = bundle_embedder(tiny_run(), "torch"), manifest.rows("test")
    part = Collection.of(manifest.select(rows))
    build_index(embedder, part, tmp_path / "index", progress=False)
    manifest.path(int(rows[3])).write_bytes(manifest.path(int(rows[4])).read_bytes())

    def fail(*_: object, **__: object) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(
            "linnet.search.build.write_card" if where == "write_card" else f"linnet.search.update.{where}", fail
        )
        with pytest.raises(OSError, match="full"):
            add_images(tmp_path / "index", Collection.of(manifest), embedder, progress=False)
    assert len(Index.open(tmp_path / "index")) == (48 if where != "_drop" else 48 + 73)
    index, _ = add_images(tmp_path / "index", Collection.of(manifest), embedder, progress=False)
    assert sorted(index.names) == sorted(manifest.images.to_pylist())
    row, twin = (index.names.index(str(manifest.images[int(rows[place])])) for place in (3, 4))
    np.testing.assert_allclose(index.vectors[row], index.vectors[twin], atol=1e-6)
    Index.open(tmp_path / "index")


def test_rows_are_removed_by_path_folder_and_pattern(made: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = Index.open(here / "index")
    one, folder = before.names[0], str(Path(before.names[20]).parent)
    kept = [n for n in before.names if n != one and not n.startswith(folder + "/") and "_fox" not in n]
    index, count = remove_images(here / "index", [str(before.image(0)), folder, "*_fox*"])
    assert index.names == kept and count == len(before) - len(kept)
    old, new = vectors_by_name(before), vectors_by_name(index)
    assert new == {name: old[name] for name in kept}
    assert not (here / "index/vectors-1.f32").exists()
    reopened = Index.open(here / "index")
    np.testing.assert_array_equal(reopened.targets, before.targets[[before.names.index(name) for name in kept]])
    with pytest.raises(RunError, match=r"'nothing\*'; nothing was removed"):
        remove_images(here / "index", ["*", "nothing*"])
    with pytest.raises(RunError, match="remove all"):
        remove_images(here / "index", ["*"])
    monkeypatch.setattr(update, "commit", _fail)
    with pytest.raises(OSError, match="full"):
        remove_images(here / "index", [kept[0]])
    assert Index.open(here / "index").names == kept


def _fail(*_: object, **__: object) -> None:
    raise OSError("the disk is full")


def test_an_approximate_index_is_measured_kept_and_forgotten_with_its_rows(made: Path, here: Path) -> None:
    pytest.importorskip("faiss")
    with pytest.raises(RunError, match="has no approximate index"):
        Index.open(here / "index").search(np.ones((1, 32)), 1, approximate=True)
    shutil.copytree(everything(made).folder, here / "whole")
    told: list[str] = []
    for kind in ("ivf", "hnsw"):
        index, said = add_approximate(here / "whole", kind, recall=0.99, k=5, tell=told.append)
        assert said["recall"]["measured"] >= 0.99 and said["recall"]["queries"] == 120
        assert len(list((here / "whole").glob("*.faiss"))) == 1
        query = index.vectors[:20]
        exact, found = index.search(query, 5), index.search(query, 5, approximate=True)
        hits = sum(len(np.intersect1d(a, b)) for a, b in zip(exact.rows, found.rows, strict=True))
        assert hits >= 95
        same = exact.rows == found.rows
        np.testing.assert_array_equal(exact.scores[same], found.scores[same])
    assert any("recall@5" in line for line in told)
    with pytest.raises(RunError, match="exactly"):
        index.search(query, 5, within="fox", approximate=True)
    path = next((here / "whole").glob("*.faiss"))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(RunError, match="build it again"):
        Index.open(here / "whole").search(query, 1, approximate=True)
    index, _ = remove_images(here / "whole", [index.names[0]])
    assert index.card.approximate is None and not list((here / "whole").glob("*.faiss"))


def test_taxonomies_are_merged_by_names() -> None:
    old = Taxonomy.from_columns(("kind", "species"), [("bird", "crow"), ("fish", "cod")])
    new = Taxonomy.from_columns(("kind", "species"), [("fish", "pike"), ("bird", "crow"), ("ape", "gibbon")])
    merged, numbers = merge_taxonomies(old, new, "new.csv")
    assert merged.classes == (("bird", "fish", "ape"), ("cod", "crow", "gibbon", "pike"))
    targets = np.asarray([[new.index(0, "fish"), new.index(1, "pike")], [new.index(0, "ape"), -1], [-1, -1]])
    named = [
        [merged.classes[level][n] if n >= 0 else "" for level, n in enumerate(row)]
        for row in renumber(targets, numbers)
    ]
    assert named == [["fish", "pike"], ["ape", ""], ["", ""]]
    assert [merged.classes[0][p] for p in merged.parents[1]] == ["fish", "bird", "ape", "fish"]
    moved = Taxonomy.from_columns(("kind", "species"), [("bird", "cod")])
    with pytest.raises(TaxonomyError, match="species 'cod' lies under 'bird', in the index under 'fish'"):
        merge_taxonomies(old, moved, "moved.csv")
    with pytest.raises(ManifestError, match="levels are class"):
        merge_taxonomies(old, Taxonomy(("class",), (("a",),), ((),)), "one.csv")
    nothing = Taxonomy(("class",), ((),), ((),))
    assert merge_taxonomies(nothing, old, "")[0] == old
    same, numbers = merge_taxonomies(old, nothing, "")
    assert same == old and renumber(np.full((2, 1), -1), numbers).tolist() == [[-1, -1]] * 2
