"""Overlap of members' attention against its transcription, and what must hold of any maps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from linnet.metrics.attention import attention_correlation, attention_overlap, other_images, top_places
from linnet.randomness import torch_generator
from tests.reference import attention as reference


def maps(members: int = 3, images: int = 4, places: int = 35) -> torch.Tensor:
    return torch.rand(members, images, places, generator=torch_generator(0, "maps"))


def test_equals_the_reference() -> None:
    given_ = maps()
    nested = [[image.reshape(5, 7).double().numpy() for image in member] for member in given_]
    assert attention_overlap(given_) == pytest.approx(reference.overlap(nested))
    assert attention_correlation(given_) == pytest.approx(reference.correlation(nested), abs=1e-6)


def test_by_hand() -> None:
    """Ten places, two of them looked at: one shared of three."""
    one, other = torch.zeros(10), torch.zeros(10)
    one[[3, 4]], other[[4, 5]] = torch.tensor([2.0, 1.0]), torch.tensor([1.0, 9.0])
    both = torch.stack([one, other])[:, None]
    assert attention_overlap(both) == pytest.approx(100 / 3)
    assert attention_overlap(torch.stack([one, one])[:, None]) == 100
    assert attention_overlap(torch.stack([one, other.roll(3)])[:, None]) == 0
    assert attention_correlation(torch.stack([one, one])[:, None]) == pytest.approx(1)
    assert attention_correlation(torch.stack([one, -one])[:, None]) == pytest.approx(-1)


def test_constant_maps() -> None:
    """They look a little everywhere and correlate with nothing, whatever rounding leaves of them."""
    flat = torch.full((10,), 0.1)
    peaked = torch.arange(10.0)
    assert torch.equal(top_places(flat), torch.full((10,), 0.2, dtype=torch.float64))
    assert attention_overlap(torch.stack([flat, flat])[:, None]) == pytest.approx(100)
    assert attention_overlap(torch.stack([flat, peaked])[:, None]) == pytest.approx(100 * 0.4 / 3.6)
    assert attention_correlation(torch.stack([flat, peaked])[:, None]) == 0
    assert attention_correlation(torch.stack([torch.zeros(10), peaked])[:, None]) == 0


@given(st.integers(0, 10_000), st.floats(0.01, 50), st.floats(-5, 5))
def test_scale_shift_order_of_members_and_of_places_do_not_matter(seed: int, scale: float, shift: float) -> None:
    generator = torch_generator(seed, "maps")
    given_ = torch.rand(3, 2, 12, generator=generator, dtype=torch.float64)
    other = (given_ * scale + shift)[[2, 0, 1]][:, :, torch.randperm(12, generator=generator)]
    assert attention_overlap(other) == pytest.approx(attention_overlap(given_))
    assert attention_correlation(other) == pytest.approx(attention_correlation(given_), abs=1e-9)
    assert 0 <= attention_overlap(given_) <= 100 and -1 <= attention_correlation(given_) <= 1


def test_partners_are_other_images() -> None:
    partners = other_images(50, 3)
    assert sorted(partners.tolist()) == list(range(50)) and not (partners == np.arange(50)).any()
    alike = maps(images=50)[:1].repeat(2, 1, 1)
    assert attention_overlap(alike) == 100
    assert attention_overlap(alike, partners) < 30, "two fifths drawn at random share a ninth"


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match="two members or more"):
        attention_overlap(maps(members=1))
    broken = maps()
    broken[0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match="not finite"):
        attention_correlation(broken)
