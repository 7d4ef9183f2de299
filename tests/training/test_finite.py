"""Steps that are not finite on the road of a GPU, which looks later; here it is forced on a CPU."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from linnet import files
from linnet.errors import NonFiniteError
from linnet.training import api, finite, loop
from linnet.training.api import train
from linnet.training.finite import StepNote, Watch
from linnet.training.loop import Loop
from tests.training.tiny import best_state, tiny_manifest, tiny_recipe

CPU = torch.device("cpu")


def late(device: torch.device, where: Callable[[int], str], *, at_once: bool) -> Watch:
    return Watch(device, where, at_once=False)


@pytest.fixture
def loops(monkeypatch: pytest.MonkeyPatch) -> list[Loop]:
    """The loops that `train` makes."""
    made: list[Loop] = []

    def keep(**given: object) -> Loop:
        made.append(Loop(**given))  # type: ignore[arg-type]
        return made[-1]

    monkeypatch.setattr(api, "Loop", keep)
    return made


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_late_look_changes_no_bit(optimizer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = tiny_recipe(method="coins", optimizer=optimizer, lr=0.01)
    train(recipe, tmp_path / "at_once", tiny_manifest(), progress=False)
    monkeypatch.setattr(loop, "Watch", late)
    train(recipe, tmp_path / "late", tiny_manifest(), progress=False)
    names = ("at_once", "late")
    assert len({files.digest(best_state(tmp_path / name)) for name in names}) == 1


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("every", [1, 50])
def test_the_first_bad_step_is_named_and_leaves_the_weights(
    optimizer: str, every: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loops: list[Loop]
) -> None:
    """The same message, and the same weights, as where the host looks at once; the head's too."""
    monkeypatch.setattr(finite, "LOOK_EVERY", every)
    recipe = tiny_recipe(method="coins", optimizer=optimizer, lr=1e30)
    messages = []
    for name, watch in (("at_once", Watch), ("late", late)):
        monkeypatch.setattr(loop, "Watch", watch)
        with pytest.raises(NonFiniteError, match=r"epoch 1, step 2.*Stopped before the step.*row \d+") as caught:
            train(recipe, tmp_path / name, tiny_manifest(), progress=False)
        messages.append(str(caught.value))
        assert not (tmp_path / name / "checkpoints/index.json").exists()
    assert messages[0] == messages[1]
    states = [dict(made.method.named_parameters()) for made in loops]
    heads = [made.method.get_submodule("instance_head").state_dict() for made in loops]
    for first, second in (states, [{key: head[key] for key in ("weight", "velocity")} for head in heads]):
        for key, value in first.items():
            torch.testing.assert_close(second[key], value, rtol=0, atol=0, equal_nan=True)


def seen(watch: Watch, step: int, value: float, gradient: float = 0.0) -> Tensor:
    parameter = nn.Parameter(torch.zeros(2))
    parameter.grad = torch.full((2,), gradient)
    watch.see(torch.tensor([value]), [parameter], StepNote(0, 0, step, ["coarse"], torch.tensor([step, 7])))
    assert watch.skip is not None
    return watch.skip


def test_a_bad_step_skips_all_that_follow() -> None:
    """A bad gradient is as bad as a bad loss; the host hears of the first."""
    watch = Watch(CPU, partial("row {}".format), at_once=False)
    skips = [seen(watch, 0, 1.0), seen(watch, 1, 1.0, float("inf")), seen(watch, 2, float("nan")), seen(watch, 3, 1.0)]
    assert [float(skip) for skip in skips] == [0, 1, 1, 1]
    with pytest.raises(NonFiniteError, match=r"step 2: .*\(coarse = 1\).*The batch: row 1, row 7$"):
        watch.look()


def test_the_host_looks_now_and_then() -> None:
    watch = Watch(CPU, str, at_once=False)
    assert sum(map(watch.looks_at, range(200))) == 4
    assert seen(watch, 0, 1.0) == 0
    watch.look()
    watch.look()
