"""The kernels compiled for a GPU that need not be there: they fit its shared memory."""

from __future__ import annotations

import pytest

from linnet.losses.instance_triton import SHARED

pytest.importorskip("triton")
pytestmark = pytest.mark.slow

NUMBERS = {"dim": "i32", "inverse_temperature": "fp32", "lr": "fp32", "momentum": "fp32", "decay": "fp32"}
LISTS = ("table", "blocks", "place")


def shared_memory(name: str, constants: dict[str, object], warps: int, stages: int) -> int:
    """Bytes of shared memory of a kernel for sm_90, D a multiple of 16."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from linnet.losses import instance_kernels

    kernel = getattr(instance_kernels, name)
    names: list[str] = kernel.arg_names
    types = {each: NUMBERS.get(each, "*i64" if each in LISTS else "*fp32") for each in names}
    types |= dict.fromkeys(constants, "constexpr")
    aligned = [each for each in names if types[each].startswith("*") or each == "dim"]
    source = ASTSource(
        kernel,
        types,
        constexprs={(names.index(each),): value for each, value in constants.items()},
        attrs={(names.index(each),): [["tt.divisibility", 16]] for each in aligned},
    )
    options = {"num_warps": warps, "num_stages": stages, "enable_fp_fusion": True}
    return int(triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options).metadata.shared)


@pytest.mark.parametrize(
    ("rows", "dim", "warps", "stages", "lag", "precision"),
    [
        (16, 512, 4, 2, False, "tf32"),
        (16, 512, 8, 2, True, "tf32"),
        (32, 512, 8, 2, True, "tf32"),
        (32, 512, 8, 1, True, "bf16x3"),
        (16, 1024, 8, 1, True, "ieee"),
    ],
)
def test_forward_fits(rows: int, dim: int, warps: int, stages: int, lag: bool, precision: str) -> None:
    """The shapes that `TritonEngine` launches, at their largest."""
    tile = {"BLOCK_B": rows, "BLOCK_N": 16, "SLICES": warps, "BLOCK_D": dim // warps}
    flags = {"SLOTS": 256, "COSINE": True, "LAG": lag, "STORE": True, "PRECISION": precision}
    assert shared_memory("forward_kernel", {**tile, **flags}, warps, stages) <= SHARED


def test_step_and_combine_fit() -> None:
    step = {"SLOTS": 256, "BLOCK_B": 16, "BLOCK_N": 16, "BLOCK_D": 128, "COSINE": True, "NESTEROV": True}
    assert shared_memory("step_kernel", {**step, "SKIP": True, "PRECISION": "tf32"}, 4, 3) <= SHARED
    combine = {"SLOTS": 256, "BLOCK_C": 16, "BLOCK_D": 128, "COSINE": True, "LAG": True}
    assert shared_memory("combine_kernel", combine, 4, 3) <= SHARED
