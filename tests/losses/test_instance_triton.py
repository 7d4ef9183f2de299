"""The GPU engine of the instance head: in Triton's interpreter everywhere, and on a GPU where there is one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from linnet.losses.instance_blocks import nothing_pending, update_map
from linnet.losses.instance_engines import find_engine
from linnet.losses.instance_plan import Tiles, make_plan, slabs, touched_pieces
from linnet.losses.instance_torch import TorchEngine
from linnet.losses.instance_triton import LARGEST, TritonEngine, available
from linnet.losses.owned import UpdateRule
from tests.losses.triton_cases import CASES, distance, errors, moved, touched_by

ROOT = Path(__file__).parents[2]
on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
with_triton = pytest.mark.skipif(find_spec("triton") is None, reason="no Triton")


@cache
def interpreted() -> dict[str, Any]:
    """All cases in a process of their own: Triton decides at its import whether it interprets."""
    command = [sys.executable, "-m", "tests.losses.triton_cases"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@with_triton
@pytest.mark.parametrize("name", CASES)
def test_steps_are_those_of_dense_sgd(name: str) -> None:
    """Loss and gradient at every step, and the weights after them, against float64 autograd and torch's own SGD."""
    assert max(interpreted()[name].values()) < 1e-6, interpreted()[name]


@with_triton
def test_a_flag_on_the_device_skips_the_update() -> None:
    assert interpreted()["moved"] == [True, False]


def test_the_plan_covers_every_row_once() -> None:
    """Programs and tiles as the kernels count them, whole and in slabs."""
    sizes = torch.tensor([5, 700, 33])
    batch = torch.tensor([[0, 0], *([1, i] for i in range(40)), [2, 3]])
    touched, _ = touched_by(batch, sizes, nothing_pending(3), "cpu")
    tiles = Tiles(chunk=64)
    plan = make_plan(touched_pieces(touched), len(batch), 32, tiles, torch.device("cpu"))
    table = plan.table.reshape(-1, plan.slots)
    size, rows, program, chunk = (table[field, :3] for field in (1, 3, 4, 5))
    chunks = (size + chunk - 1) // chunk
    assert plan.batch_rows == 32
    assert (chunks * ((rows + 31) // 32)).cumsum(0).tolist() == [*program[1:].tolist(), plan.programs]
    assert plan.parts == int((chunks * rows).sum())
    assert bool((table[4, 3:] > plan.programs).all())
    assert plan.blocks.tolist() == [0, *[1] * 40, 2]
    parts = list(slabs(touched_pieces(touched), 4000))
    assert sum(int(part.size[0]) for part in parts) == 738
    assert all(int(part.size[0] * part.rows[0]) <= 4000 for part in parts)


def test_the_cpu_and_other_weights_have_other_engines() -> None:
    assert not available(torch.device("cpu"), torch.float32)
    assert not available(torch.device("cuda"), torch.float64)
    assert not available(torch.device("cuda"), torch.float32, LARGEST + 1)
    with pytest.raises(ValueError, match="on a GPU"):
        find_engine("triton", torch.zeros(2, 2))


@on_gpu
def test_a_head_on_a_gpu_takes_this_engine() -> None:
    weight = torch.zeros(2, 512, device="cuda")
    assert isinstance(find_engine("auto", weight), TritonEngine)
    assert not isinstance(find_engine("auto", weight.double()), TritonEngine)


@on_gpu
@pytest.mark.parametrize(("precision", "bound"), [("ieee", 1e-6), ("bf16x3", 1e-4), ("tf32", 5e-3)])
@pytest.mark.parametrize("name", CASES)
def test_steps_on_a_gpu(name: str, precision: Any, bound: float) -> None:
    assert max(errors(CASES[name], "cuda", precision).values()) < bound


@on_gpu
@pytest.mark.parametrize("dim", [128, 512, 1000])
@pytest.mark.parametrize("temperature", [None, 0.1])
def test_wide_embeddings_on_a_gpu(dim: int, temperature: float | None) -> None:
    """A step of large, lagging blocks beside torch's engine in float64; many images of one block, few of another."""
    draw = torch.Generator().manual_seed(0)
    sizes, rule = torch.tensor([900, 40, 2000]), UpdateRule(0.1, 0.9, 5e-3, nesterov=True)
    batch = torch.tensor([[0, 7 * i] for i in range(90)] + [[2, 1999], [2, 0]])
    pending = nothing_pending(3)
    pending[2] = update_map(rule) @ update_map(rule)
    weight, velocity, x = (torch.randn(n, dim, generator=draw, dtype=torch.float64) for n in (2940, 2940, 92))
    x = x if temperature is None else torch.nn.functional.normalize(x)
    touched, _ = touched_by(batch, sizes, pending, "cuda")
    results = []
    for engine, dtype in ((TorchEngine(), torch.float64), (TritonEngine("ieee"), torch.float32)):
        w, v, rows = (tensor.to("cuda", dtype, copy=True) for tensor in (weight, velocity, x))
        loss, slope, residual = engine.forward(w, v, rows, touched, temperature)
        engine.step(w, v, rows, residual, touched, rule, 0.3)
        results.append([tensor.double().cpu() for tensor in (loss, slope, w, v)])
    for exact, found in zip(*results, strict=True):
        assert distance(found, exact) < 2e-6


@on_gpu
def test_the_same_bits_every_time_on_a_gpu() -> None:
    """Five times the same step from the same weights."""
    seen = []
    for _ in range(5):
        draw = torch.Generator().manual_seed(0)
        weight, velocity, x = (torch.randn(n, 512, generator=draw).cuda() for n in (20_000, 20_000, 32))
        batch = torch.tensor([[g, g] for g in range(20) for _ in range(1 + g % 2)] + [[19, 9]] * 2)
        touched, _ = touched_by(batch, torch.full((20,), 1000), nothing_pending(20), "cuda")
        loss, slope, residual = (engine := TritonEngine()).forward(weight, velocity, x, touched, 0.1)
        engine.step(weight, velocity, x, residual, touched, UpdateRule(0.1, 0.9, 5e-4), 1 / 32)
        seen.append((loss, slope, weight, velocity))
    for again in seen[1:]:
        assert all(torch.equal(a, b) for a, b in zip(seen[0], again, strict=True))


@on_gpu
def test_a_flag_skips_the_update_on_a_gpu() -> None:
    assert [moved(0.0, "cuda"), moved(1.0, "cuda")] == [True, False]
