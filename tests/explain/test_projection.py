"""Embeddings in the plane: what the projections keep, and which images and classes are shown."""

from __future__ import annotations

import numpy as np
import pytest

from linnet.errors import TaxonomyError
from linnet.explain.projection import choose_classes, embed_rows, project, projections, rows_to_show
from linnet.randomness import generator
from linnet.training.api import train
from linnet.training.run import Run
from tests.training.tiny import tiny_manifest, tiny_recipe


def clusters(count: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Three tight clusters on axes of their own, in 12 dimensions, each row of a length that says nothing."""
    draw = generator(0, "clusters")
    labels = np.repeat(np.arange(3), count)
    rows = np.eye(12)[labels * 4] + draw.normal(0, 0.05, (3 * count, 12))
    return (rows * draw.uniform(0.1, 9, (3 * count, 1))).astype(np.float32), labels


def test_pca_is_the_plane_of_the_largest_variance() -> None:
    rows, _ = clusters()
    found = project(rows, "pca")
    units = rows.astype(float) / np.linalg.norm(rows, axis=1, keepdims=True)
    centred = units - units.mean(0)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    expected = centred @ vectors[:, -1:-3:-1]
    np.testing.assert_allclose(np.abs(found.points), np.abs(expected), atol=1e-6)
    assert found.method == "PCA" and 0.5 < found.trust <= 1


def test_tsne_keeps_clusters_apart_and_repeats() -> None:
    rows, labels = clusters()
    found = project(rows, "tsne")
    middles = np.stack([found.points[labels == c].mean(0) for c in range(3)])
    nearest = np.linalg.norm(found.points[:, None] - middles[None], axis=2).argmin(1)
    assert np.array_equal(nearest, labels)
    assert found.trust > 0.8
    assert np.array_equal(project(rows, "tsne").points, found.points)
    assert [each.method for each in projections(rows[:8], "both")] == ["PCA", "t-SNE"]


def test_what_cannot_be_projected() -> None:
    with pytest.raises(ValueError, match="need 5 or more"):
        project(np.ones((4, 3)), "pca")
    with pytest.raises(ValueError, match="all finite"):
        project(np.full((6, 3), np.nan), "pca")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    recipe = tiny_recipe(epochs=1, select_on="last", validation=0.0)
    return train(recipe, tmp_path_factory.mktemp("runs") / "run", tiny_manifest(), progress=False)


def test_rows_and_embeddings_of_a_run(run: Run) -> None:
    rows = rows_to_show(run, None, 30)
    assert len(rows) == 30 and np.array_equal(rows, rows_to_show(run, "test", 30))
    assert set(rows) <= set(run.load().rows["test"])
    (cloud,) = embed_rows(run, rows)
    assert cloud.name == "embedding" and cloud.embedding.shape == (30, run.bundle.method.backbone.dim)


def test_classes_are_the_frequent_ones_or_those_named(run: Run) -> None:
    data, rows = run.load(), rows_to_show(run, None, 96)
    names = data.manifest.taxonomy.classes[data.coarse]
    chosen = choose_classes(data, rows, None)
    assert len(chosen) == 4 and len(set(chosen)) == 4
    counts = np.bincount(data.manifest.targets[rows, data.coarse], minlength=len(names))
    assert min(counts[chosen]) >= np.sort(counts)[-4]
    assert choose_classes(data, rows, f"{names[3]}, {names[1]}") == [3, 1]
    with pytest.raises(TaxonomyError, match=r"no coarse class 'x'; there are 6"):
        choose_classes(data, rows, "x")
