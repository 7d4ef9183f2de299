"""The compiled engine of the instance head against torch in float64, and when it is refused."""

from __future__ import annotations

import ctypes
import logging
import platform
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from linnet.losses import instance_build, instance_compiled
from linnet.losses.compile import FLAGS, CannotCompileError, NoCompilerError, load
from linnet.losses.instance import InstanceHead
from linnet.losses.instance_blocks import Engine, Touched, nothing_pending, update_map
from linnet.losses.instance_build import compiled_engine, disagreement
from linnet.losses.instance_compiled import SOURCE, CompiledEngine
from linnet.losses.instance_engines import find_engine
from linnet.losses.instance_torch import TorchEngine
from linnet.losses.owned import UpdateRule
from tests.reference.instance import DenseHead

Case = tuple[list[Tensor], Touched, float | None, UpdateRule]


@pytest.fixture(scope="module")
def library() -> ctypes.CDLL:
    try:
        return load(SOURCE)
    except NoCompilerError as error:
        pytest.skip(str(error))


@pytest.fixture
def _nothing_known() -> Iterator[None]:
    """The engine is looked for anew."""
    compiled_engine.cache_clear()
    yield
    compiled_engine.cache_clear()


def case(sizes: list[int], batch: int, dim: int, temperature: float | None, rule: UpdateRule, seed: int) -> Case:
    """Weights, velocities, embeddings; the blocks of random instances, some twice; every second block lags."""
    draw = torch.Generator().manual_seed(seed)
    weight, velocity, embedding = torch.randn(2 * sum(sizes) + batch, dim, generator=draw).split(
        [sum(sizes), sum(sizes), batch]
    )
    weight = weight + weight.sign()  # a cosine's derivative grows as the norm falls
    stops = torch.tensor(sizes).cumsum(0)
    starts = stops - torch.tensor(sizes)
    chosen = torch.randint(sum(sizes), (batch,), generator=draw).sort().values
    group = torch.bucketize(chosen, stops, right=True)
    blocks, counts = group.unique(return_counts=True)
    pending = nothing_pending(len(sizes))
    for number in range(seed % 2, len(sizes), 2):
        pending[number] = torch.linalg.matrix_power(update_map(rule), number + 1)
    rows = [0, *counts.cumsum(0).tolist()]
    touched = Touched(starts[blocks].tolist(), stops[blocks].tolist(), rows, chosen - starts[group], pending[blocks])
    unit = embedding if temperature is None else F.normalize(embedding)
    return [weight, velocity, unit], touched, temperature, rule


def step(
    engine: Engine, given: list[Tensor], touched: Touched, temperature: float | None, rule: UpdateRule
) -> list[Tensor]:
    """Loss, gradient, weights and velocities of one step."""
    weight, velocity, embedding = (each.clone() for each in given)
    loss, gradient, residual = engine.forward(weight, velocity, embedding, touched, temperature)
    assert torch.equal(weight, given[0])
    assert torch.equal(velocity, given[1])
    engine.step(weight, velocity, embedding, residual, touched, rule, torch.tensor(0.3))
    return [loss, gradient, weight, velocity]


def exact(given: list[Tensor], *others: Touched | float | UpdateRule | None) -> list[Tensor]:
    return step(TorchEngine(), [each.double() for each in given], *others)


rules = st.builds(
    UpdateRule,
    lr=st.floats(0, 0.5),
    momentum=st.sampled_from([0.0, 0.9]),
    weight_decay=st.floats(0, 0.05),
    nesterov=st.booleans(),
)


@given(
    sizes=st.lists(st.sampled_from([1, 2, 3, 17, 64, 65, 300, 1100]), min_size=1, max_size=5),
    batch=st.sampled_from([1, 2, 5, 6, 7, 31]),
    dim=st.sampled_from([1, 3, 15, 16, 17, 64, 100, 130]),
    temperature=st.sampled_from([None, 0.2]),
    rule=rules,
    threads=st.sampled_from([1, 2]),
    kept=st.sampled_from([0, 1 << 22]),
    seed=st.integers(0, 1000),
)
def test_a_step_is_torchs(
    library: ctypes.CDLL,
    sizes: list[int],
    batch: int,
    dim: int,
    temperature: float | None,
    rule: UpdateRule,
    threads: int,
    kept: int,
    seed: int,
) -> None:
    """Any blocks, widths that are no multiple of a vector's, lags, cosines, logits kept or computed again."""
    torch.set_num_threads(threads)
    given = case(sizes, batch, dim, temperature, rule, seed)
    for ours, theirs in zip(step(CompiledEngine(library, kept), *given), exact(*given), strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("dim", [64, 70])
def test_the_same_again_is_the_same_bits(library: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch, dim: int) -> None:
    """Whoever does the work: torch's threads or the library's own, with fresh buffers or used ones."""
    torch.set_num_threads(2)
    rule = UpdateRule(0.1, 0.9, 0.01)
    given = case([4000, 1, 2500], 40, dim, 0.1, rule, 3)
    engine = CompiledEngine(library)
    first = step(engine, *given)
    step(engine, *case([900, 7000], 9, 33, None, rule, 4))
    monkeypatch.setattr(instance_compiled, "_runner", lambda: None)
    for other in (engine, CompiledEngine(library)):
        assert all(map(torch.equal, first, step(other, *given)))


def test_another_default_type_changes_nothing(library: ctypes.CDLL) -> None:
    given = case([30, 1, 17], 9, 12, 0.2, UpdateRule(0.1, 0.9, 0.01), 2)
    usual = step(CompiledEngine(library), *given)
    torch.set_default_dtype(torch.float64)
    try:
        assert all(map(torch.equal, usual, step(CompiledEngine(library), *given)))
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_loss_that_is_not_finite_is_told(library: ctypes.CDLL) -> None:
    """Of the rows concerned alone; and a skipped step changes nothing."""
    rule = UpdateRule(0.1, skip=torch.tensor(1.0))
    given, *others = case([200, 300], 20, 32, None, rule, 1)
    given[2][7, 3] = torch.nan
    loss, gradient, weight, velocity = step(CompiledEngine(library), given, *others)
    assert torch.equal(loss.isnan().nonzero().flatten(), torch.tensor([7]))
    assert torch.equal(gradient.isnan().any(1), loss.isnan())
    assert torch.equal(weight, given[0])
    assert torch.equal(velocity, given[1])


@pytest.mark.skipif(platform.machine() != "x86_64", reason="flags of one kind of processor")
@pytest.mark.parametrize("target", ["x86-64", "x86-64-v3"])
def test_narrower_vectors_agree(target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is compiled for processors without AVX-512, or without AVX."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    flags = tuple(f"-march={target}" if "native" in flag else flag for flag in FLAGS)
    try:
        library = load(SOURCE, flags)
    except NoCompilerError as error:
        pytest.skip(str(error))
    assert disagreement(CompiledEngine(library)) == ""
    assert disagreement(CompiledEngine(library, kept=0)) == ""


class _Wrong(CompiledEngine):
    """An engine whose update is a little off."""

    def step(self, weight: Tensor, *others: object) -> None:
        super().step(weight, *others)  # type: ignore[arg-type]
        weight[0, 0] += 0.01


@pytest.mark.parametrize("temperature", [None, pytest.param(0.2, marks=pytest.mark.slow)])
def test_3000_steps_stay_with_dense_float64(library: ctypes.CDLL, temperature: float | None) -> None:
    """Nine groups in ten are absent from each batch, and the learning rate falls."""
    torch.manual_seed(0)
    group = torch.arange(400) % 40
    head = InstanceHead(group, 24, temperature, engine="compiled")
    dense = DenseHead(head.weight[head.layout.position].double(), group, temperature)
    for number in range(3000):
        index, embedding = torch.randint(len(group), (4,)), torch.randn(4, 24, requires_grad=True)
        rule = UpdateRule(0.1 * 0.2 ** (number // 1000), 0.9, 5e-4)
        head(embedding, index).backward()
        dense.loss(embedding.detach().double(), index).backward()
        head.step(rule)
        dense.step(rule)
    head.flush()
    for ours, theirs in zip((head.weight, head.velocity), dense.state, strict=True):
        assert float((ours[head.layout.position].double() - theirs).norm() / theirs.norm()) <= 1e-6


@pytest.mark.usefixtures("_nothing_known", "library")
def test_the_head_takes_it_where_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    """For float32 on the CPU; asked for by name it is there, or an error says why not."""
    weight = torch.zeros(2, 3)
    assert isinstance(find_engine("auto", weight), CompiledEngine)
    assert isinstance(find_engine("compiled", weight), CompiledEngine)
    assert isinstance(find_engine("auto", weight.double()), TorchEngine)
    with pytest.raises(ValueError, match="float32"):
        find_engine("compiled", weight.double())
    compiled_engine.cache_clear()
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert isinstance(find_engine("auto", weight), TorchEngine)
    with pytest.raises(ValueError, match="no-such-compiler"):
        find_engine("compiled", weight)


@pytest.mark.usefixtures("_nothing_known", "library")
def test_an_engine_that_errs_is_refused(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """With one warning, which says what is wrong."""
    monkeypatch.setattr(instance_build, "CompiledEngine", _Wrong)
    assert [type(compiled_engine()) for _ in range(2)] == [str, str]
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert "weight differs by" in record.message


@pytest.mark.usefixtures("_nothing_known")
def test_without_a_compiler_there_is_a_line_and_no_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Torch does the arithmetic."""
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", "")
    caplog.set_level(logging.INFO, "linnet")
    assert compiled_engine() == "no C++ compiler (c++, g++, clang++)"
    [record] = caplog.records
    assert (record.levelno, "no C++ compiler" in record.message) == (logging.INFO, True)


@pytest.mark.usefixtures("_nothing_known")
def test_a_compiler_that_fails_is_told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """What it said, once."""

    def refuse(source: Path) -> ctypes.CDLL:
        raise CannotCompileError(f"c++ {source.name} failed: no memory")

    monkeypatch.setattr(instance_build, "load", refuse)
    assert compiled_engine() == compiled_engine() == "c++ instance.cpp failed: no memory"
    [record] = caplog.records
    assert record.levelno == logging.WARNING
