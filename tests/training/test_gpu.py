"""Training on a GPU, where there is one: it waits for nothing, stops in time, and resumes to the same bits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim import Optimizer

from linnet import files
from linnet.errors import NonFiniteError
from linnet.images import Batch
from linnet.losses.instance import InstanceHead
from linnet.training import api, loop
from linnet.training.api import train
from linnet.training.data import TrainingData
from linnet.training.evaluate import Outputs, measure
from linnet.training.loop import Loop
from tests.training.tiny import best_state, tiny_manifest, tiny_recipe

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


def gpu_recipe(**settings: Any) -> Any:
    return tiny_recipe(device="cuda", method="coins", backbone="cifar-resnet18", width=16, **settings)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_no_step_waits_for_the_device(precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch raises at every call that would wait, in all steps but the first, which sets up."""
    plain, taken = Loop._step, []

    def watched(self: Loop, batch: Batch, optimizer: Optimizer, rate: float) -> None:
        torch.cuda.set_sync_debug_mode("error" if taken else "default")
        try:
            plain(self, batch, optimizer, rate)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        taken.append(batch)

    monkeypatch.setattr(Loop, "_step", watched)
    train(gpu_recipe(precision=precision), tmp_path / "run", tiny_manifest(), progress=False)
    assert len(taken) > 6


def test_the_first_bad_step_is_named(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteError, match=r"epoch 1, step 2.*Stopped before the step.*row \d+"):
        train(gpu_recipe(lr=1e30), tmp_path / "run", tiny_manifest(), progress=False)


@pytest.mark.parametrize("compiled", [False, True])
def test_a_resumed_run_ends_with_the_same_bits(compiled: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Broken off after nine steps, that is within the third epoch; compiled into graphs too."""
    recipe = gpu_recipe(compile=compiled, epochs=4)
    train(recipe, tmp_path / "whole", tiny_manifest(), progress=False)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    plain, taken = Loop._step, []

    def broken(self: Loop, batch: Batch, optimizer: Optimizer, rate: float) -> None:
        taken.append(batch)
        if len(taken) == 10:
            raise KeyboardInterrupt
        plain(self, batch, optimizer, rate)

    with monkeypatch.context() as breaking:
        breaking.setattr(Loop, "_step", broken)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, tmp_path / "broken", tiny_manifest(), progress=False)
    train(recipe, tmp_path / "broken", tiny_manifest(), resume=True, progress=False)
    both = (best_state(tmp_path / name) for name in ("whole", "broken"))
    assert len({files.digest(path) for path in both}) == 1


def test_heads_of_both_engines_agree() -> None:
    """A head as the loop uses it: float32 by this engine, float64 by torch's, over steps that leave groups out."""
    draw = torch.Generator().manual_seed(0)
    groups = torch.arange(300) % 7
    first = InstanceHead(groups, 64, 0.2).cuda()
    exact = InstanceHead(groups, 64, 0.2).double().cuda()
    exact.weight.copy_(first.weight)
    for _ in range(5):
        index = torch.randint(0, 150, (6,), generator=draw) * 2
        x = torch.randn(6, 64, generator=draw)
        grads = []
        for head in (first, exact):
            embedding = x.to(head.weight).requires_grad_()
            head(embedding, index).backward()
            head.step(loop.UpdateRule(0.3, 0.9, 0.01))
            assert embedding.grad is not None
            grads.append(embedding.grad.double())
        assert float((grads[0] - grads[1]).norm() / grads[1].norm()) < 5e-3
    first.flush(), exact.flush()
    assert float((first.weight.double() - exact.weight).norm() / exact.weight.norm()) < 1e-3


def test_neighbours_are_counted_on_the_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedding stays there; the figures are those of the CPU."""
    seen: list[Outputs] = []

    def noting(data: TrainingData, rows: Any, said: Outputs, ks: Any) -> dict[str, float]:
        seen.append(said)
        return measure(data, rows, said, ks)

    monkeypatch.setattr(api, "measure", noting)
    run = train(gpu_recipe(epochs=1), tmp_path / "run", tiny_manifest(), progress=False)
    assert run.data is not None
    assert seen[0].embedding.is_cuda
    rows = run.data.rows["validation"]
    there, here = (measure(run.data, rows, said, (1, 2)) for said in (seen[0], _on_the_cpu(seen[0])))
    assert there == here


def _on_the_cpu(said: Outputs) -> Outputs:
    return replace(said, embedding=said.embedding.cpu())
