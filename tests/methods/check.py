"""`check_method(name)`: what every method must do, whatever it is."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from linnet.backbones import build_backbone
from linnet.losses.owned import OwnsUpdate
from linnet.methods import METHODS, method_class
from linnet.methods.base import Losses, Method, Prediction, Task, UpdateRule
from linnet.randomness import seeded

COARSE, FINE, IMAGES, SIDE = 3, 6, 64, 16
ATTRIBUTES = 5


@dataclass
class Batch:
    """The loader's batch, as methods see it."""

    images: Tensor
    index: Tensor
    targets: Tensor


def make_task() -> Task:
    """Three coarse classes of three, two and one fine class; uneven groups of instances; described classes."""
    parent = torch.tensor([0, 0, 0, 1, 1, 2])
    fine = torch.arange(IMAGES) % FINE
    membership = parent == torch.arange(COARSE)[:, None]
    with seeded(0, "attributes"):
        described = torch.rand(FINE, ATTRIBUTES)
    means = membership.float() @ described / membership.sum(1, keepdim=True)
    return Task(
        membership,
        coarse_of_instance=parent[fine],
        coarse_attributes=means,
        fine_attributes=described,
        teacher=taught_by(described),
    )


def taught_by(described: Tensor) -> Callable[[Tensor], Tensor]:
    """A teacher that goes by the images' mean colour."""
    return lambda images: images.mean((2, 3)) @ described[:, :3].T * 9


def make_batch(count: int = IMAGES) -> Batch:
    """Images whose colour tells the fine class, with noise."""
    with seeded(0, "check"):
        fine = torch.arange(count) % FINE
        images = torch.randn(count, 3, SIDE, SIDE) + torch.randn(FINE, 3, 1, 1)[fine]
    coarse = torch.tensor([0, 0, 0, 1, 1, 2])[fine]
    return Batch(images, torch.arange(count), torch.stack([coarse, fine], 1))


def build(name: str, task: Task | None = None, options: dict[str, Any] | None = None) -> Method:
    """A method on a tiny net, the same weights every time."""
    chosen = method_class(name)
    with seeded(0, "weights"):
        return chosen.build(
            lambda: build_backbone("cifar-resnet18", width=4),
            task or make_task(),
            chosen.Options.model_validate(options or {}),
        )


def total(terms: Losses) -> Tensor:
    """The weighted sum that the loop minimises."""
    return torch.stack([term.value * term.weight for term in terms.values()]).sum()


def train(method: Method, batch: Batch, steps: int, lr: float = 0.05) -> list[float]:
    """Plain training as the loop does it; the loss of every step."""
    seen: list[float] = []
    for number, stage in enumerate(method.stages()):
        method.enter(number)
        method.train()
        groups = [{"params": g.parameters, "lr": lr * g.lr_scale} for g in stage.groups if g.parameters]
        optimizer = torch.optim.SGD(groups or [{"params": []}], lr=lr, momentum=0.9)
        for step in range(steps):
            with seeded(0, "step", number, step):  # for what draws from torch's own state
                for terms in method.losses(batch):
                    loss = total(terms)
                    optimizer.zero_grad()
                    loss.backward()  # type: ignore[no-untyped-call]
                    optimizer.step()
                    for owned in stage.owned:
                        owned.module.step(UpdateRule(lr * owned.lr_scale, momentum=0.9))
                    seen.append(float(loss.detach()))
        method.end_epoch(0)
    return seen


def owned_weight(module: OwnsUpdate) -> Tensor:
    """The buffer `weight` of a module that updates itself."""
    assert isinstance(module, nn.Module)
    return module.get_buffer("weight")


def check_method(name: str, folder: Path, options: dict[str, Any] | None = None, *, export: bool = True) -> None:
    """Run the whole battery on one method; `export=False` for options that leave the prediction as it is (slow)."""
    assert name in METHODS
    _check_shapes(build(name, options=options))
    _check_gradients(build(name, options=options))
    _check_permutation(build(name, options=options))
    _check_relabelling(name, options)
    _check_half_precision(build(name, options=options))
    _check_round_trip(name, options, folder)
    _check_determinism(name, options)
    _check_learning(build(name, options=options))
    if export:
        _check_export(build(name, options=options))


def _check_shapes(method: Method) -> None:
    batch = make_batch(5)
    said = method.eval().predict(batch.images)
    assert said.embedding.shape == (5, method.embedding_dim)
    for logits, classes in ((said.coarse_logits, COARSE), (said.fine_logits, FINE)):
        assert logits is None or (logits.shape == (5, classes) and logits.dtype == torch.float32)
    for terms in method.losses(batch):
        assert terms, "a method yields at least one named term"
        assert all(term.value.ndim == 0 for term in terms.values())


def _check_gradients(method: Method) -> None:
    """Every parameter is in a stage, once, and every one gets a gradient; weights with an owner change in its step."""
    staged = [id(p) for stage in method.stages() for group in stage.groups for p in group.parameters]
    assert set(staged) == {id(p) for p in method.parameters()}
    assert all(
        len({id(p) for g in s.groups for p in g.parameters}) == sum(len(g.parameters) for g in s.groups)
        for s in method.stages()
    )
    for number in range(len(method.stages())):
        method.enter(number)
        for terms in method.losses(make_batch()):
            total(terms).backward()  # type: ignore[no-untyped-call]
    for name, parameter in method.named_parameters():
        assert parameter.grad is not None, f"no gradient reaches {name}"
        assert float(parameter.grad.abs().sum()) > 0, f"the gradient of {name} is zero"
    for module in (owned.module for stage in method.stages() for owned in stage.owned):
        before = owned_weight(module).clone()
        module.step(UpdateRule(lr=0.1))
        assert bool((owned_weight(module) != before).any(1).all()), "an instance of the batch has not been learnt"


def _check_permutation(method: Method) -> None:
    batch, order = make_batch(), torch.randperm(IMAGES)
    shuffled = Batch(batch.images[order], batch.index[order], batch.targets[order])
    for straight, mixed in zip(method.losses(batch), method.losses(shuffled), strict=True):
        torch.testing.assert_close(total(straight), total(mixed), rtol=1e-4, atol=1e-4)


def _check_relabelling(name: str, options: dict[str, Any] | None) -> None:
    """Other numbers for the same classes change nothing, once heads start from zero (no weight knows its number)."""
    task, batch = make_task(), make_batch()
    coarse, fine = torch.tensor([2, 0, 1]), torch.tensor([3, 5, 0, 1, 4, 2])
    membership = torch.empty_like(task.membership)
    membership[coarse[:, None], fine[None, :]] = task.membership
    other = replace(
        task,
        membership=membership,
        coarse_of_instance=coarse[task.coarse_of_instance],
        coarse_attributes=task.coarse_attributes[coarse.argsort()],
        fine_attributes=task.fine_attributes[fine.argsort()],
        teacher=taught_by(task.fine_attributes[fine.argsort()]),
    )
    renamed = replace_targets(batch, torch.stack([coarse[batch.targets[:, 0]], fine[batch.targets[:, 1]]], 1))
    seen = []
    for chosen, images in ((task, batch), (other, renamed)):
        method = build(name, chosen, options)
        for part, parameter in method.named_parameters():
            if not part.startswith("backbone."):
                nn.init.zeros_(parameter)
        for owned in (owned for stage in method.stages() for owned in stage.owned):
            nn.init.zeros_(owned_weight(owned.module))
        seen.append(train(method, images, 3))
    torch.testing.assert_close(torch.tensor(seen[0]), torch.tensor(seen[1]), rtol=1e-3, atol=1e-3)


def replace_targets(batch: Batch, targets: Tensor) -> Batch:
    """The same images under other labels."""
    return Batch(batch.images, batch.index, targets)


def _check_half_precision(method: Method) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        pieces = list(method.losses(make_batch()))
    for terms in pieces:
        loss = total(terms)
        assert bool(torch.isfinite(loss))
        loss.backward()  # type: ignore[no-untyped-call]
    assert all(bool(torch.isfinite(p.grad).all()) for p in method.parameters() if p.grad is not None)


def _check_round_trip(name: str, options: dict[str, Any] | None, folder: Path) -> None:
    """Through a file, whole; and as a bundle, without what only training needs."""
    method, batch = build(name, options=options), make_batch(8)
    train(method, make_batch(), 2)
    expected = method.eval().predict(batch.images)
    for state, task in (
        (method.state_dict(), make_task()),
        (method.bundle_state(), bundle_task(method.bundle_state())),
    ):
        save_file({key: value.contiguous() for key, value in state.items()}, folder / "state.safetensors")
        again = build(name, task, options)
        loaded = again.load_state_dict(load_file(folder / "state.safetensors"), strict=False)
        assert not loaded.unexpected_keys
        assert all(again.is_training_only(key) for key in loaded.missing_keys)
        _same(again.eval().predict(batch.images), expected)


def bundle_task(state: dict[str, Tensor]) -> Task:
    """The task that an opened bundle has: no instances, and the attributes that its state holds."""
    names = {"coarse_attributes", "fine_attributes"} & state.keys()
    return Task(make_task().membership, **{name: torch.zeros_like(state[name]) for name in names})


def _same(one: Prediction, other: Prediction) -> None:
    for a, b in zip(vars(one).values(), vars(other).values(), strict=True):
        assert (a is None) == (b is None)
        assert a is None or torch.equal(a, b)


def _check_determinism(name: str, options: dict[str, Any] | None) -> None:
    twins = [build(name, options=options) for _ in range(2)]
    losses = [train(twin, make_batch(), 1) for twin in twins]
    assert losses[0] == losses[1]
    for one, other in zip(twins[0].state_dict().values(), twins[1].state_dict().values(), strict=True):
        assert torch.equal(one, other)


def _check_learning(method: Method) -> None:
    losses = train(method, make_batch(), 25)
    assert losses[-1] < 0.8 * losses[0], f"the loss went from {losses[0]:.3f} to {losses[-1]:.3f} only"


class _Predict(nn.Module):
    def __init__(self, method: Method) -> None:
        super().__init__()
        self.method = method

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        said = self.method.predict(images)
        return tuple(value for value in vars(said).values() if value is not None)


def _check_export(method: Method) -> None:
    """`torch.export` takes the prediction and gives the same values for another batch."""
    wrapped, images = _Predict(copy.deepcopy(method).eval()), make_batch(4).images
    dynamic = {"images": {0: torch.export.Dim("batch")}}
    program = torch.export.export(wrapped, (images,), dynamic_shapes=dynamic)
    other = make_batch(7).images
    for got, expected in zip(program.module()(other), wrapped(other), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
