"""Optimizers from a stage's parameter groups, and their state as plain tensors."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer

from linnet.methods.base import Stage
from linnet.recipes import Recipe

__all__ = ["build_optimizer", "load_optimizer_state", "optimizer_state", "set_learning_rate"]


def build_optimizer(stage: Stage, recipe: Recipe, *, scaled: bool = False) -> Optimizer:
    """The recipe's optimizer over a stage's groups; each group remembers its `lr_scale`.

    `scaled` says that a gradient scaler may skip steps (fp16), which it does around the plain update; all others take
    the fused one.
    """
    groups = [{"params": group.parameters, "lr_scale": group.lr_scale} for group in stage.groups if group.parameters]
    groups = groups or [{"params": [], "lr_scale": 1.0}]  # a stage that fits in closed form has none
    if recipe.optimizer != "sgd":
        kind = AdamW if recipe.optimizer == "adamw" else Adam
        return kind(groups, lr=recipe.lr, betas=recipe.betas, weight_decay=recipe.weight_decay, fused=not scaled)
    sgd = SGD(
        groups,
        lr=recipe.lr,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        weight_decay=recipe.weight_decay,
        fused=not scaled,
    )
    if recipe.momentum and not scaled:
        sgd.register_step_pre_hook(_begin_momentum)
    return sgd


def _begin_momentum(optimizer: Optimizer, *_: object) -> None:
    """Give every parameter that now has its first gradient a momentum of zero, which makes the same step.

    torch's fused update takes a group whose parameters all have a momentum or all have none, and a method that steps
    twice in a batch (bigspn) first meets its second step's own parameters beside some that have moved already.
    """
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None and "momentum_buffer" not in optimizer.state[parameter]:
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter, requires_grad=False)


def set_learning_rate(optimizer: Optimizer, rate: float) -> None:
    """Set every group to `rate` times its own scale."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["lr_scale"]


def optimizer_state(optimizer: Optimizer) -> dict[str, Tensor]:
    """The state of every parameter, named "<number of the parameter>.<what>"."""
    return {
        f"{number}.{what}": value
        for number, values in optimizer.state_dict()["state"].items()
        for what, value in values.items()
        if isinstance(value, Tensor)
    }


def load_optimizer_state(optimizer: Optimizer, state: dict[str, Tensor]) -> None:
    """Put a state of `optimizer_state` back.

    Buffers take their parameter's memory format: a file holds plain order, and a fused update walks parameter and
    buffer side by side in memory.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    restored: dict[int, dict[str, Tensor]] = {}
    for name, value in state.items():
        number, what = name.split(".", 1)
        parameter = parameters[int(number)]
        whole = value.shape == parameter.shape
        laid = torch.empty_like(parameter, requires_grad=False).copy_(value) if whole else value
        restored.setdefault(int(number), {})[what] = laid
    optimizer.load_state_dict({"state": restored, "param_groups": optimizer.state_dict()["param_groups"]})
