"""Ten views: which windows they are, and what their averages are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2.functional import five_crop

from linnet.backbones import Backbone
from linnet.errors import RecipeError
from linnet.images import ImageSource, Preprocessing
from linnet.images.views import ten_views
from linnet.methods.base import Method, Prediction, Task
from linnet.training.api import train
from linnet.training.run import Run
from linnet.training.views import predict_views, view_batches, whole_square
from tests.training.tiny import tiny_manifest, tiny_recipe


@pytest.mark.parametrize(("side", "size"), [(8, 5), (9, 5), (6, 5), (5, 5), (256, 224)])
def test_views_are_those_of_torchvision(side: int, size: int) -> None:
    """Five crops, and each of them mirrored."""
    images = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    theirs = [view for crop in five_crop(images, [size, size]) for view in (crop, crop.flip(-1))]
    ours = list(ten_views(images, size))
    assert len(ours) == len(theirs) == 10
    for one, others in ((ours, theirs), (theirs, ours)):
        assert all(any(torch.equal(view, other) for other in others) for view in one)


def test_views_need_a_larger_square() -> None:
    for shape in ((1, 3, 4, 4), (1, 3, 8, 6)):
        with pytest.raises(ValueError, match="need squares of at least 5"):
            next(ten_views(torch.zeros(shape), 5))


def test_the_square_holds_the_centre_crop() -> None:
    """The first view is what one view would be, to the pixel, also where the difference is odd."""
    for resize in (20, 21):
        one = Preprocessing(size=16, resize=resize)
        sources = [
            ImageSource(tiny_manifest(), tiny_manifest().rows("test"), each) for each in (one, whole_square(one))
        ]
        crop, square = (next(source.sequential(8)).images for source in sources)
        assert square.shape[-1] == resize
        assert torch.equal(next(ten_views(square, 16)), crop)


def test_two_views_are_the_image_and_its_mirror_image() -> None:
    """And one is the image alone; whatever the order asked for."""
    source = ImageSource(tiny_manifest(), tiny_manifest().rows("test"), Preprocessing(16))
    order = np.array([5, 0, 7])
    plain = torch.cat([batch.images for batch in source.sequential(2, order)])
    both = [tuple(views) for views in view_batches(source, 2, order, 2, 16)]
    assert [len(views) for views in both] == [2, 2]
    assert torch.equal(torch.cat([straight for straight, _ in both]), plain)
    assert torch.equal(torch.cat([mirrored for _, mirrored in both]), plain.flip(3))
    assert torch.equal(torch.cat([view for (view,) in view_batches(source, 2, order, 1, 16)]), plain)


class Two(Method):
    """Two numbers of an image as embedding and logits."""

    needs = frozenset()
    selects = "fine_top1"

    def losses(self, batch: object) -> object:
        raise NotImplementedError

    def predict(self, images: Tensor) -> Prediction:
        numbers = images[:, :2, 0, 0]
        return Prediction(numbers, None, numbers)


def test_probabilities_are_averaged_and_embeddings_too() -> None:
    """By hand, for two images and three views; an answer that is not there stays away."""
    views = torch.randn(3, 2, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    said = predict_views(Two(Backbone(2), Task(torch.eye(2, dtype=torch.bool))), views)
    assert said.coarse_logits is None and said.fine_logits is not None
    for row in range(2):
        numbers = [views[v, row, :2, 0, 0] for v in range(3)]
        assert torch.allclose(said.embedding[row], sum(numbers, torch.zeros(2)) / 3)
        mean = sum((number.exp() / number.exp().sum() for number in numbers), torch.zeros(2)) / 3
        assert torch.allclose(said.fine_logits[row].exp(), mean)


def test_a_run_is_measured_by_its_recipe(tmp_path: Path) -> None:
    """Ten views change the figures of `evaluate`, not the training."""
    settings = {"resize": 20, "method": "fine", "epochs": 1}
    ten, one = (
        train(tiny_recipe(**settings, test_views=views), tmp_path / str(views), tiny_manifest(), progress=False)
        for views in (10, 1)
    )
    weights = [(tmp_path / name / "bundle/weights.safetensors").read_bytes() for name in ("10", "1")]
    assert weights[0] == weights[1]
    averaged, plain = ten.evaluate("test"), one.evaluate("test")
    assert averaged.figures.keys() == plain.figures.keys()
    assert averaged.figures["fine_recall@1"] != plain.figures["fine_recall@1"]
    assert Run.open(tmp_path / "10").evaluate("test", tiny_manifest()) == averaged


def test_views_need_room() -> None:
    with pytest.raises(RecipeError, match=r"give resize above image_size = 224, such as resize = 256"):
        tiny_recipe(test_views=10, image_size=224)
    with pytest.raises(RecipeError, match=r"test_views = 3; allowed is one of 1, 2, 10"):
        tiny_recipe(test_views=3)
