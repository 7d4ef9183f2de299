from __future__ import annotations

import numpy as np
import pytest

from linnet.datasets import load_data, patches
from linnet.errors import DataError


def test_the_papers_counts() -> None:
    manifest = load_data("patches", size=32)
    tree = manifest.taxonomy
    assert len(manifest) == 512 and manifest.split_names == ("train",)
    assert (tree.count("coarse"), tree.count("fine")) == (32, 128)
    assert tree.membership().sum(axis=1).tolist() == [4] * 32
    assert np.bincount(manifest.targets[:, 1]).tolist() == [4] * 128
    assert np.array_equal(tree.ancestor()[manifest.targets[:, 1]], manifest.targets[:, 0])
    assert manifest.pixels is not None and manifest.pixels.shape == (512, 32, 32, 3)
    assert len(set(manifest.images.to_pylist())) == 512


@pytest.mark.parametrize("size", [32, 50])
def test_each_image_holds_its_two_patches_and_nothing_else(size: int) -> None:
    manifest, boxes = patches.load_with_boxes(size=size)
    assert manifest.pixels is not None
    pool: dict[tuple[str, int], np.ndarray] = {}
    for row, (coarse, fine) in enumerate(manifest.targets):
        image = manifest.pixels[row]
        covered = np.zeros((size, size), dtype=int)
        for kind, label, (top, left, bottom, right) in (
            ("big", coarse, boxes.big[row]),
            ("small", fine, boxes.small[row]),
        ):
            assert 0 <= top < bottom <= size and 0 <= left < right <= size
            covered[top:bottom, left:right] += 1
            patch = image[top:bottom, left:right]
            np.testing.assert_array_equal(patch, pool.setdefault((kind, int(label)), patch))
        assert covered.max() == 1  # they do not overlap
        assert (image[covered == 0] == patches.BLANK).all()
    kinds = [kind for kind, _ in pool]
    assert (kinds.count("big"), kinds.count("small")) == (32, 128)
    assert len({(kind, patch.tobytes()) for (kind, _), patch in pool.items()}) == 160


def test_places_differ_and_depend_on_the_seed_alone() -> None:
    first, boxes = patches.load_with_boxes(seed=1)
    more, wider = patches.load_with_boxes(seed=1, train_per_class=6, test_per_class=2)
    assert first.pixels is not None and more.pixels is not None
    names = {name: row for row, name in enumerate(more.images.to_pylist())}
    rows = [names[name] for name in first.images.to_pylist()]
    np.testing.assert_array_equal(first.pixels, more.pixels[rows])
    np.testing.assert_array_equal(boxes.small, wider.small[rows])
    assert len({tuple(box) for box in boxes.small.tolist()}) > 200
    other = patches.load(seed=2).pixels
    assert other is not None and (other != first.pixels).any()
    assert more.rows("test").tolist() == list(range(768, 1024))


def test_a_size_or_count_that_cannot_be() -> None:
    with pytest.raises(DataError, match=r"size=8.*allowed are size >= 16"):
        patches.load(size=8)
    with pytest.raises(DataError, match=r"train_per_class=0"):
        patches.load(train_per_class=0)
