"""Indexes without a run: vectors in a file, and bare timm models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import timm
from numpy.typing import NDArray
from safetensors.torch import save_file

from linnet.errors import ManifestError, RecipeError, RunError
from linnet.metrics.unit_vectors import unit_rows
from linnet.randomness import generator, seeded
from linnet.search import Index, build_index, given
from linnet.search.bare import timm_embedder
from linnet.search.collection import Collection
from linnet.search.given import index_vectors, read_vectors
from linnet.search.queries import embed_images, embedder_of
from tests.search.made import photos


def drawn(count: int = 50) -> NDArray[np.float32]:
    return 3 * generator(0, "given").standard_normal((count, 12), dtype=np.float32)


def test_an_array_without_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(given, "_BLOCK", 16)
    for dtype in (np.float32, np.float64, np.float16):
        np.save(tmp_path / "v.npy", drawn().astype(dtype))
        index = index_vectors(tmp_path / "v.npy", tmp_path / dtype.__name__)
        expected = unit_rows(drawn().astype(dtype).astype(np.float64), "drawn").exact.numpy()
        np.testing.assert_array_equal(index.vectors, expected)
        assert index.names[:2] == ["0", "1"] and index.labels(3) == {} and index.bundle_sha256 is None
    assert index.search(drawn()[:5].astype(np.float64), 1).rows[:, 0].tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(RunError, match="not of images"):
        index.image(0)
    with pytest.raises(RunError, match="--vectors"):
        embedder_of(index)
    assert len(index_vectors(tmp_path / "v.npy", index.folder)) == 50
    np.save(tmp_path / "v.npy", drawn(20))
    with pytest.raises(RunError, match="something else"):
        index_vectors(tmp_path / "v.npy", index.folder)


def test_a_table_says_what_the_rows_stand_for(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", drawn(3))
    (tmp_path / "t.csv").write_text("image,split,kind\nb.jpg,train,crow\na.jpg,test,cod\nc.jpg,,\n")
    index = index_vectors(tmp_path / "v.npy", tmp_path / "out", tmp_path / "t.csv")
    assert index.names == ["b.jpg", "a.jpg", "c.jpg"] and index.splits == ["train", "test", ""]
    assert [index.labels(row) for row in range(3)] == [{"kind": "crow"}, {"kind": "cod"}, {}]
    assert index.image(1) == tmp_path / "a.jpg"
    assert index.search(drawn(3)[:1], 3, within="cod").rows.tolist() == [[1, -1, -1]]
    np.save(tmp_path / "w.npy", drawn(4))
    with pytest.raises(ManifestError, match="3 rows for the 4 vectors"):
        index_vectors(tmp_path / "w.npy", tmp_path / "other", tmp_path / "t.csv")


def test_parquet_holds_both(tmp_path: Path) -> None:
    lists = pa.FixedSizeListArray.from_arrays(pa.array(drawn(4).reshape(-1)), 12)
    columns = {"image": ["a", "b", "c", "d"], "kind": ["x", "y", "x", "x"], "embedding": lists, "year": [1, 2, 3, 4]}
    pq.write_table(pa.table(columns), tmp_path / "v.parquet")
    index = index_vectors(tmp_path / "v.parquet", tmp_path / "out")
    assert index.names == ["a", "b", "c", "d"] and index.taxonomy.levels == ("kind",)
    np.testing.assert_array_equal(read_vectors(tmp_path / "v.parquet"), drawn(4))
    pq.write_table(pa.table({"v": [[1.0, 2.0], [1.0]]}), tmp_path / "ragged.parquet")
    pq.write_table(pa.table({"v": [1.0]}), tmp_path / "none.parquet")
    for name, said in (("ragged", "not all of one length"), ("none", "0 columns of lists")):
        with pytest.raises(ManifestError, match=said):
            read_vectors(tmp_path / f"{name}.parquet")


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((2, 3), np.int64), "need floating numbers"),
        (np.zeros(3), "need floating numbers"),
        (np.array([[1.0, 2.0], [0.0, 0.0]]), "row 1 is 0"),
        (np.array([[1.0, np.nan]]), "row 0 is 0 or not finite"),
        (np.array([["a"]], dtype=object), "cannot be read"),
    ],
)
def test_what_are_no_vectors_is_refused(array: NDArray[np.float64], said: str, tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", array, allow_pickle=True)
    with pytest.raises(ManifestError, match=said):
        index_vectors(tmp_path / "v.npy", tmp_path / "out")


def test_a_timm_model_with_weights_of_a_file(tmp_path: Path) -> None:
    name = "test_byobnet"  # timm's own small net for tests
    with seeded(0, "net"):
        net = timm.create_model(name)
    save_file(net.state_dict(), tmp_path / "net.safetensors")
    manifest = photos(tmp_path / "data", 1, 1)
    embedder = timm_embedder(name, tmp_path / "net.safetensors", "torch")
    index = build_index(embedder, Collection.of(manifest), tmp_path / "out", progress=False)
    assert (
        len(index) == 48 and index.card.dim == net.num_features and index.coarse_names[0] in index.taxonomy.classes[0]
    )
    again = embedder_of(Index.open(tmp_path / "out"), engine="torch")
    found = embed_images(again, [manifest.path(6)])
    np.testing.assert_allclose(found.vectors[0], index.vectors[6], atol=1e-6)
    assert found.coarse == [""]
    with pytest.raises(RunError, match="neither the net nor a label"):
        found.search(index, 3, within=True)
    assert found.search(index, 3, name=index.coarse_names[6]).rows[0, 0] == 6
    with seeded(1, "net"):
        other = timm.create_model(name)
    save_file(other.state_dict(), tmp_path / "net.safetensors")
    with pytest.raises(RunError, match="weights are others"):
        embedder_of(index, engine="torch")
    with pytest.raises(RecipeError, match="unknown"):
        timm_embedder("resnet_of_nobody")
