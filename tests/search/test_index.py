"""An index is made, opened, searched; damage and strangers are refused; what was killed goes on where it was."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from linnet import files
from linnet.errors import ImageError, ManifestError, RunError, TaxonomyError
from linnet.manifest import Manifest
from linnet.metrics.unit_vectors import unit_rows
from linnet.search import Index, build, build_index, collection
from linnet.search.collection import Collection, read_collection
from linnet.search.embedders import bundle_embedder
from linnet.search.queries import embed_images, embedder_of
from linnet.training.run import Run
from tests.search.made import photos, tiny_run
from tests.training.tiny import tiny_manifest


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("indexes") / "photos"
    data = out.parent / "data"
    photos(data)
    build_index(tiny_run(), data, out, engine="torch", progress=False)
    return out


@pytest.fixture
def copied(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def test_it_holds_what_the_bundle_says(folder: Path) -> None:
    index = Index.open(folder)
    manifest = read_collection(None, folder.parent / "data").manifest
    assert len(index) == len(manifest) == 24 * 5
    assert index.names == manifest.images.to_pylist()
    assert index.root == manifest.root
    assert index.splits == [manifest.split_names[code] for code in manifest.split_codes]
    np.testing.assert_array_equal(index.targets, manifest.targets)
    assert index.bundle_sha256 == tiny_run().bundle.card["weights_sha256"]
    paths = [manifest.path(row) for row in range(len(manifest))]
    expected = unit_rows(tiny_run().embed(paths), "expected").exact.numpy()
    assert index.vectors.dtype == np.float32
    np.testing.assert_allclose(index.vectors, expected, atol=1e-5)
    np.testing.assert_allclose((index.vectors**2).sum(1), 1, atol=1e-6)
    assert [index.image(row) for row in (0, 7)] == [paths[0], paths[7]]
    assert index.labels(0)["coarse"] == manifest.taxonomy.classes[0][manifest.targets[0, 0]]


def test_search_within_a_class_and_without_a_row(folder: Path) -> None:
    index = Index.open(folder)
    rows = np.arange(10)
    s = index.vectors[rows].astype(np.float64) @ index.vectors.astype(np.float64).T
    s[rows, rows] = -np.inf
    hits = index.search(index.vectors[rows], 4, exclude=rows)
    np.testing.assert_array_equal(hits.rows, np.argsort(-s, axis=1, kind="stable")[:, :4])
    own = index.targets[rows, 0]
    hits = index.search(index.vectors[rows], 4, exclude=rows, within=own)
    s[own[:, None] != index.targets[:, 0]] = -np.inf
    np.testing.assert_array_equal(hits.rows, np.argsort(-s, axis=1, kind="stable")[:, :4])
    name = index.taxonomy.classes[1][3]
    hits = index.search(index.vectors[rows], 9, within=name, level="fine")
    assert (index.targets[hits.rows[:, :5], 1] == 3).all()
    assert (hits.rows[:, 5:] == -1).all() and np.isneginf(hits.scores[:, 5:]).all()
    with pytest.raises(TaxonomyError, match="did you mean"):
        index.search(index.vectors[:1], 1, within="beetl")
    with pytest.raises(RunError, match="numbers, and the queries have 3"):
        index.search(np.ones((1, 3)), 1)
    with pytest.raises(ValueError, match="k is 0"):
        index.search(index.vectors[:1], 0)


def test_arrays_are_read_again_where_they_came_from(tmp_path: Path) -> None:
    manifest = tiny_manifest()
    assert manifest.pixels is not None
    index = build_index(tiny_run(), Collection.of(manifest), tmp_path / "given", engine="torch", progress=False)
    with pytest.raises(RunError, match="given as arrays"):
        index.image(0)
    own = read_collection(tiny_run(), None)  # the run has its data at hand
    index = build_index(tiny_run(), own, tmp_path / "own", splits=["test"], engine="torch", progress=False)
    assert set(index.splits) == {"test"} and len(index) == 96
    index._manifests[0] = manifest
    np.testing.assert_array_equal(index.image(5), manifest.pixels[manifest.rows("test")[5]])
    with pytest.raises(ManifestError, match="no split tset"):
        build_index(tiny_run(), own, tmp_path / "none", splits=["tset"], engine="torch", progress=False)


def test_the_data_of_an_index_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []

    def load(data: object, root: object, **reading: object) -> Manifest:
        asked.append((data, root, reading))
        return tiny_manifest()

    monkeypatch.setattr(collection, "load_data", load)
    found = read_collection(None, "creatures", tmp_path, {"levels": ["coarse", "fine"]})
    few = replace(found, rows=np.asarray([7, 3]))
    build_index(bundle_embedder(tiny_run(), "torch"), few, tmp_path / "few", progress=False)
    index, pixels = Index.open(tmp_path / "few"), tiny_manifest().pixels
    assert pixels is not None
    np.testing.assert_array_equal(index.image(1), pixels[3])
    assert asked == [("creatures", where, {"levels": ["coarse", "fine"]}) for where in (tmp_path, str(tmp_path))]
    monkeypatch.setattr(collection, "load_data", lambda *_, **__: tiny_manifest().select(np.arange(5)))
    with pytest.raises(RunError, match="changed since it was indexed"):
        Index.open(tmp_path / "few").image(0)


@pytest.mark.parametrize("name", ["vectors-1.f32", "rows-1.parquet", "index.json"])
def test_a_changed_file_is_refused(copied: Path, name: str) -> None:
    path = copied / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(RunError, match=name):
        Index.open(copied)


@pytest.mark.parametrize("name", ["vectors-1.f32", "rows-1.parquet", "index.json"])
def test_a_file_that_is_cut_short_or_missing_is_refused(copied: Path, name: str) -> None:
    path = copied / name
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(RunError, match=name):
        Index.open(copied)
    path.unlink()
    with pytest.raises(RunError, match=name):
        Index.open(copied)


def test_a_newer_format_and_a_name_that_leads_out_are_refused(copied: Path) -> None:
    card = files.read_json(copied / "index.json")
    files.write_json(copied / "index.json", card | {"format": 2})
    with pytest.raises(RunError, match="format 2"):
        Index.open(copied)
    from linnet.search.card import _digest

    card["vectors"] = "../vectors-1.f32"
    files.write_json(copied / "index.json", card | {"sha256": _digest(card)})
    with pytest.raises(RunError, match="leads out"):
        Index.open(copied)


def test_what_lies_behind_the_last_row_does_not_count(copied: Path) -> None:
    with (copied / "vectors-1.f32").open("ab") as stream:
        stream.write(b"left over")
    assert len(Index.open(copied)) == 120


def test_another_run_is_refused(folder: Path) -> None:
    index = Index.open(folder)
    other = tiny_run(seed=1)
    with pytest.raises(RunError, match="did not make"):
        embedder_of(index, other.folder, "torch")
    with pytest.raises(RunError, match="holds an index already"):
        build_index(other, folder.parent / "data", folder, engine="torch", progress=False)
    found = embed_images(embedder_of(index, engine="torch"), [index.image(4)])
    np.testing.assert_allclose(found.vectors[0], index.vectors[4], atol=1e-6)
    assert found.coarse == [index.card.embedder["coarse_classes"][index.table.predicted[4]]]
    assert len(embed_images(embedder_of(index, other.folder.parent / "coins-0"), []).vectors) == 0


def test_all_broken_images_are_named_and_mending_them_goes_on(tmp_path: Path) -> None:
    manifest = photos(tmp_path / "data")
    whole = {}
    for row in (3, 100):
        path = manifest.path(row)
        whole[path] = path.read_bytes()
        path.write_bytes(whole[path][:50])
    with pytest.raises(ImageError, match="2 of 120 images") as caught:
        build_index(tiny_run(), tmp_path / "data", tmp_path / "out", engine="torch", progress=False)
    assert all(path.name in str(caught.value) for path in whole)
    with pytest.raises(RunError, match="has not finished"):
        Index.open(tmp_path / "out")
    for path, content in whole.items():
        path.write_bytes(content)
    assert len(build_index(tiny_run(), tmp_path / "data", tmp_path / "out", engine="torch", progress=False)) == 120


_CHILD = """
import sys
from linnet.search import build, build_index
from linnet.training.run import Run
build._PART = 16
build_index(Run.open(sys.argv[1]), sys.argv[2], sys.argv[3], engine="torch", progress=False)
"""


def _start(run: Run, data: Path, out: Path) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", _CHILD, run.folder, data, out], env=environment)


def test_killed_in_the_midst_it_goes_on_and_ends_with_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    photos(data, 20, 5)
    child = _start(tiny_run(), data, out)
    journal = out / "building.jsonl"
    while not (journal.exists() and journal.read_bytes().count(b"\n") >= 2):
        assert child.poll() is None
        time.sleep(0.002)
    child.send_signal(signal.SIGKILL)
    child.wait()
    left = journal.read_bytes().count(b"\n")
    assert left >= 2 and not (out / "index.json").exists()
    looked_at: list[int] = []
    embed = build.embed_rows

    def counted(parts, embedder, manifest, rows, stamps, done, progress):  # type: ignore[no-untyped-def]
        looked_at.append(len(rows) - done)
        embed(parts, embedder, manifest, rows, stamps, done, progress)

    monkeypatch.setattr(build, "embed_rows", counted)
    monkeypatch.setattr(build, "_PART", 16)
    index = build_index(tiny_run(), data, out, engine="torch", progress=False)
    assert len(index) == 600 and looked_at[0] <= 600 - 32
    straight = build_index(tiny_run(), data, tmp_path / "straight", engine="torch", progress=False)
    np.testing.assert_array_equal(index.vectors, straight.vectors)
    assert not (out / "building.json").exists() and not journal.exists()


@pytest.mark.parametrize("damage", ["cut journal", "changed vectors", "changed image", "no vectors", "other images"])
def test_what_is_left_of_a_killed_call_is_used_as_far_as_it_holds(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    manifest = photos(data)
    monkeypatch.setattr(build, "_PART", 32)
    monkeypatch.setattr(build, "write_card", _fail)
    with pytest.raises(OSError, match="full"):
        build_index(tiny_run(), data, out, engine="torch", progress=False)
    monkeypatch.undo()
    journal, vectors = out / "building.jsonl", out / "vectors-1.f32"
    assert journal.exists()
    if damage == "cut journal":
        journal.write_bytes(journal.read_bytes()[:-40])
    elif damage == "changed vectors":
        content = bytearray(vectors.read_bytes())
        content[len(content) // 2] ^= 1
        vectors.write_bytes(content)
    elif damage == "no vectors":
        vectors.unlink()
    elif damage == "changed image":
        path = manifest.path(64)
        path.write_bytes(manifest.path(65).read_bytes())
    else:
        shutil.rmtree(data)
        photos(data, 2, 2)
    index = build_index(tiny_run(), data, out, engine="torch", progress=False)
    straight = build_index(tiny_run(), data, tmp_path / "straight", engine="torch", progress=False)
    np.testing.assert_array_equal(index.vectors, straight.vectors)
    Index.open(out)


def _fail(*_: object) -> None:
    raise OSError("the disk is full")
