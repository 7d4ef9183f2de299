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

    `scaled` says that a gradient scaler may skip steps (fp16). The fused update then stays off: a skipped first step
    would leave its momentum unwritten.
    """
    groups = [{"params": group.parameters, "lr_scale": group.lr_scale} for group in stage.groups if group.parameters]
    groups = groups or [{"params": [], "lr_scale": 1.0}]  # a stage that fits in closed form has none
    if recipe.optimizer != "sgd":
        kind = AdamW if recipe.optimizer == "adamw" else Adam
        return kind(groups, lr=recipe.lr, betas=recipe.betas, weight_decay=recipe.weight_decay, fused=not scaled)
    return SGD(
        groups,
        lr=recipe.lr,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        weight_decay=recipe.weight_decay,
        fused=not scaled,
    )


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
