"""Attention maps against their literal transcription."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from linnet.losses.attention import attention_maps
from tests.reference import attention as reference


@pytest.mark.parametrize("size", [(3, 4), (9, 8), (7, 11)])
def test_equals_the_reference(size: tuple[int, int]) -> None:
    features = torch.randn(2, 5, 3, 4, generator=torch.Generator().manual_seed(1))
    expected = reference.attention_maps(features.double().numpy(), *size)
    np.testing.assert_allclose(attention_maps(features, size).numpy(), expected, atol=1e-6)


def test_stays_between_nothing_and_one_and_reaches_one() -> None:
    maps = attention_maps(torch.randn(4, 6, 5, 5, generator=torch.Generator().manual_seed(2)))
    assert maps.shape == (4, 5, 5)
    assert maps.amin() >= 0
    assert maps.amax((1, 2)).tolist() == [1.0] * 4


def test_a_map_of_zeros_stays_zero_and_scale_does_not_matter() -> None:
    features = torch.randn(3, 4, 6, 6, generator=torch.Generator().manual_seed(3))
    features[1] = 0
    maps = attention_maps(features, (12, 12))
    assert maps[1].abs().max() == 0
    for scale in (1e-30, 1e30):
        torch.testing.assert_close(attention_maps(features * scale, (12, 12)), maps)
    assert attention_maps(features.to(torch.bfloat16)).dtype == torch.float32


def test_mistakes_are_named() -> None:
    features = torch.zeros(3, 2, 4, 4)
    features[2, 1, 0, 3] = float("nan")
    with pytest.raises(ValueError, match="image 2 of the batch"):
        attention_maps(features)
    with pytest.raises(ValueError, match=r"need \(B, D, H, W\)"):
        attention_maps(features[0])
