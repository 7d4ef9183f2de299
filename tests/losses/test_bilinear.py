"""Weighted bilinear pooling against the sum over pairs."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from linnet.losses.bilinear import pair_weights, pairwise_bilinear
from linnet.losses.encoders import PartEncoder, PooledEncoder
from linnet.randomness import seeded
from tests.reference import bigspn as literal


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 5), st.integers(1, 6), st.integers(1, 3), st.integers(0, 99))
def test_the_pooling_is_the_sum_over_pairs(parts: int, dim: int, side: int, seed: int) -> None:
    with seeded(seed, "bilinear"):
        z, maps = torch.randn(2, dim, side, side + 1), torch.rand(2, parts, side, side + 1)
    found = pairwise_bilinear(z, maps)
    for image in range(2):
        expected = literal.pairwise_bilinear(z[image].double(), maps[image].double())
        torch.testing.assert_close(found[image].double(), expected, rtol=1e-4, atol=1e-5)
    assert torch.allclose(found, found.transpose(1, 2), atol=1e-5)


def test_one_map_makes_no_pair() -> None:
    assert not bool(pair_weights(torch.ones(1, 1, 2, 2)).any())
    with pytest.raises(ValueError, match="parts = 1"):
        PartEncoder(4, 8, 3, 1)


def test_fusion_bilinear_is_equation_4_and_a_linear_map() -> None:
    with seeded(0, "encoder"):
        encoder, features = PartEncoder(6, 8, 3, 4).eval(), torch.randn(2, 6, 3, 3)
    with torch.no_grad():
        z, maps = encoder.compress(features), encoder.maps(features)
        fused = torch.stack([literal.pairwise_bilinear(a, r).flatten() for a, r in zip(z, maps, strict=True)])
        expected = fused / 9 @ encoder.project.weight.T + encoder.project.bias
        torch.testing.assert_close(encoder(features), expected)
    assert maps.shape == (2, 4, 3, 3) and float(maps.min()) > 0 and float(maps.max()) < 1


def test_fusion_concat_is_the_mean_of_each_gated_map() -> None:
    with seeded(0, "encoder"):
        encoder, features = PartEncoder(6, 8, 3, 2, "concat").eval(), torch.randn(2, 6, 3, 3)
    with torch.no_grad():
        z, maps = encoder.compress(features), encoder.maps(features)
        fused = torch.cat([(maps[:, k : k + 1] * z).mean((2, 3)) for k in range(2)], 1)
        torch.testing.assert_close(encoder(features), encoder.project(fused))


def test_the_pooled_encoder_is_convolution_norm_relu_mean() -> None:
    with seeded(0, "encoder"):
        encoder, features = PooledEncoder(6, 8).eval(), torch.randn(2, 6, 3, 3)
    with torch.no_grad():
        convolved = torch.einsum("oi,bihw->bohw", encoder.project[0].weight[:, :, 0, 0], features)
        normed = (convolved / (1 + encoder.project[1].eps) ** 0.5).clamp_min(0)
        torch.testing.assert_close(encoder(features), normed.mean((2, 3)))


def test_maps_that_start_by_fan_in_are_not_saturated() -> None:
    """By fan-out, as the released code starts, a good part of each map is 0 or 1 before anything is learned."""
    shares = {}
    for gates in ("fan_out", "fan_in"):
        with seeded(0, "encoder"):
            encoder, features = PartEncoder(32, 8, 64, 4, gates=gates), torch.randn(8, 32, 6, 6)
        with torch.no_grad():
            maps = encoder.maps(features)
        shares[gates] = float(((maps < 0.01) | (maps > 0.99)).float().mean())
    assert shares["fan_out"] > 0.2
    assert shares["fan_in"] < 0.01
