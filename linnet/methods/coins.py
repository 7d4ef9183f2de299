"""CoIns (paper 001): coarse labels and instance discrimination together, Eq. 3 (`instance`) to Eq. 5 (`coins`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from linnet.backbones import Backbone
from linnet.losses.instance import InstanceHead
from linnet.losses.instance_sampled import SampledInstanceHead
from linnet.losses.linear import LinearHead
from linnet.methods.base import (
    BatchLike,
    HeadOptions,
    Losses,
    Method,
    Need,
    Options,
    Owned,
    ParameterGroup,
    Prediction,
    Stage,
    Task,
    Term,
)

__all__ = ["Coins", "CoinsOptions", "Instance", "InstanceOptions"]

_HEAD_LR = (
    "the instance head's learning rate, as a multiple of lr; its update is SGD with the recipe's momentum and "
    "weight_decay, whatever the recipe's optimizer"
)
_SAMPLE = (
    "other instances, drawn anew at each step, that an image is told from beside the batch's own; an approximation for "
    "sets too large to tell it from all, which is what happens without this setting"
)


class InstanceOptions(HeadOptions):
    """Settings of `instance`."""

    head_lr: float = Field(1.0, gt=0, description=_HEAD_LR)
    sample: int | None = Field(None, ge=1, description=_SAMPLE)


class CoinsOptions(Options):
    """Settings of `coins`.

    The defaults are what a sweep chose on a validation split by coarse labels alone (docs/coins.md): a small lambda,
    and an instance head of unit rows, which learns its N classes within the epochs that a small run has. The recipes
    of the paper's rows name the paper's plain heads.
    """

    lambda_: float = Field(0.1, ge=0, alias="lambda", description="weight of the instance loss")
    scope: Literal["coarse", "all"] = Field(
        "coarse", description="instances an image is told from: those of its coarse class (Eq. 5), or all (Eq. 4)"
    )
    cosine: Literal["none", "instance", "both"] = Field(
        "instance", description="heads that normalise embedding and weights; 'none' is Eq. 4-5, 'both' the ICCV version"
    )
    temperature: float = Field(0.1, gt=0, description="what cosine logits are divided by; unused without cosine")
    head_lr: float = Field(10.0, gt=0, description=_HEAD_LR)
    sample: int | None = Field(None, ge=1, description=_SAMPLE)


def _instance_head(groups: Tensor, dim: int, temperature: float | None, sample: int | None) -> InstanceHead:
    if sample is None:
        return InstanceHead(groups, dim, temperature)
    return SampledInstanceHead(groups, dim, temperature, sample=sample)


def _one_stage(method: Method, head: InstanceHead, head_lr: float) -> list[Stage]:
    """All parameters at the recipe's rate; the instance head, whose weights are none of them, updates itself."""
    return [Stage("train", [ParameterGroup(list(method.parameters()))], owned=(Owned(head, head_lr),))]


class Instance(Method):
    """Indi: every training image is a class of its own (Eq. 3). Needs no labels."""

    needs = frozenset()
    Options = InstanceOptions
    selects = "coarse_recall@1"
    training_only = ("instance_head.",)

    def __init__(self, backbone: Backbone, task: Task, options: InstanceOptions | None = None) -> None:
        super().__init__(backbone, task)
        self.options = options or InstanceOptions()
        together = torch.zeros_like(task.coarse_of_instance)
        options = self.options
        self.instance_head = _instance_head(together, backbone.dim, options.head_temperature, options.sample)

    def stages(self) -> list[Stage]:
        """One stage; the instance head may have a learning rate of its own."""
        return _one_stage(self, self.instance_head, self.options.head_lr)

    def losses(self, batch: BatchLike) -> Iterator[Losses]:
        """`CE_instance(f(x_i), i)` over all N instances."""
        yield {"instance": Term(self.instance_head(self.backbone(batch.images), batch.index))}

    def predict(self, images: Tensor) -> Prediction:
        """The embedding; there is no classifier."""
        return Prediction(self.backbone(images))


class Coins(Method):
    """Base-Indi (`scope="all"`, Eq. 4) and Base-Indi_eff (`scope="coarse"`, Eq. 5, the default)."""

    needs = frozenset({Need.COARSE})
    Options = CoinsOptions
    selects = "coarse_top1"
    training_only = ("instance_head.",)

    def __init__(self, backbone: Backbone, task: Task, options: CoinsOptions | None = None) -> None:
        super().__init__(backbone, task)
        self.options = options = options or CoinsOptions()
        groups = task.coarse_of_instance
        if options.scope == "all":
            groups = torch.zeros_like(groups)
        coarse, instance = (
            options.temperature if options.cosine in heads else None for heads in (("both",), ("both", "instance"))
        )
        self.coarse_head = LinearHead(backbone.dim, task.coarse_classes, coarse)
        self.instance_head = _instance_head(groups, backbone.dim, instance, options.sample)

    def stages(self) -> list[Stage]:
        """One stage; the instance head may have a learning rate of its own."""
        return _one_stage(self, self.instance_head, self.options.head_lr)

    def losses(self, batch: BatchLike) -> Iterator[Losses]:
        """`CE(W_B f(x_i), y_i) + lambda CE_instance(f(x_i), i)`."""
        embedding = self.backbone(batch.images)
        coarse = F.cross_entropy(self.coarse_head(embedding), batch.targets[:, self.task.coarse_level])
        instance = self.instance_head(embedding, batch.index)
        yield {"coarse": Term(coarse), "instance": Term(instance, self.options.lambda_)}

    def predict(self, images: Tensor) -> Prediction:
        """Embedding and coarse logits."""
        embedding = self.backbone(images)
        return Prediction(embedding, coarse_logits=self.coarse_head(embedding))
