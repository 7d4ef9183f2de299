"""bfloat16 where it is faster: one rule for training, for the engines that run bundles, and for counting neighbours."""

from __future__ import annotations

import pytest
import torch

from linnet import hardware
from linnet.hardware import bf16_is_fast, processor_flags
from linnet.metrics.unit_vectors import roads
from linnet.training.device import find_place
from tests.training.tiny import tiny_recipe

INTEL = frozenset({"GenuineIntel", "avx512_bf16"})
AMD = frozenset({"AuthenticAMD", "avx512_bf16"})


@pytest.mark.parametrize(
    ("flags", "fast"),
    [
        (INTEL, False),
        (INTEL | {"amx_bf16"}, True),
        (AMD, True),
        (frozenset({"AuthenticAMD"}), False),
        (frozenset(), False),
    ],
)
def test_bf16_is_taken_only_where_it_is_faster(
    flags: frozenset[str], fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intel's AVX-512 bf16 without AMX multiplies no faster than its float32; what is asked for is taken anywhere."""
    monkeypatch.setattr(hardware, "processor_flags", lambda: flags)
    cpu = torch.device("cpu")
    assert bf16_is_fast(cpu) == fast
    assert roads(None, cpu)[0] == (torch.bfloat16 if fast else torch.float32)
    assert find_place(tiny_recipe(precision="auto")).precision == ("bf16" if fast else "fp32")
    assert find_place(tiny_recipe(precision="bf16")).precision == "bf16"


def test_flags_are_those_of_one_processor() -> None:
    assert all(flag and flag.strip() == flag for flag in processor_flags())
