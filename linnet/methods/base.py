"""What a system adds to a backbone: the protocol that the training loop knows a method by."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar, Protocol, Self

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from linnet.backbones import Backbone
from linnet.errors import RecipeError
from linnet.losses.attention import attention_maps
from linnet.losses.owned import OwnsUpdate, UpdateRule

__all__ = [
    "BatchLike",
    "HeadOptions",
    "Losses",
    "Method",
    "Need",
    "Options",
    "Owned",
    "OwnsUpdate",
    "ParameterGroup",
    "Prediction",
    "Stage",
    "Task",
    "Term",
    "UpdateRule",
]


class Need(Enum):
    """Supervision that a method learns from; the value is what a message calls it."""

    COARSE = "a coarse label for every training image"
    SOME_FINE = "fine labels for some training images"
    ALL_FINE = "a fine label for every training image"
    ANY_LEVEL = "a label at some level, with fine classes under it, for every training image"
    ATTRIBUTES = "an attribute vector for every class"
    TEACHER = "a finished run to learn from"


class BatchLike(Protocol):
    """A batch as methods see it: images (B, 3, H, W), index (B,) in the training set, on the CPU, targets (B, L).

    Of a frozen net, `images` are its feature maps (B, D, H, W), which its stand-in hands through.
    """

    @property
    def images(self) -> Tensor: ...  # noqa: D102
    @property
    def index(self) -> Tensor: ...  # noqa: D102
    @property
    def targets(self) -> Tensor: ...  # noqa: D102


@dataclass(frozen=True)
class Task:
    """The classes and the training set that a method is built for.

    Attributes:
        membership: bool (C, F): fine class f is a child of coarse class c.
        coarse_level, fine_level: columns of `targets` that hold the two levels.
        coarse_of_instance: int64 (N,), the coarse class of each training image (-1 unknown); empty for a method
            that only predicts.
        memberships: bool (C_l, F) for every level l of `targets` down to the fine one; empty where only the two
            levels are told.
        coarse_attributes, fine_attributes: float32 (C, A) and (F, A), the description of every class; empty where
            the data has none.
        seen: bool (F,), the fine classes whose labels a method that learns from descriptions may use; empty where it
            is to use none, even if labels are there.
        teacher: a finished run to learn from: images (B, 3, S, S) to its fine logits (B, F), without a gradient; None
            where the recipe names none, and for a method that only predicts.
    """

    membership: Tensor
    coarse_level: int = 0
    fine_level: int = 1
    coarse_of_instance: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))
    memberships: tuple[Tensor, ...] = ()
    coarse_attributes: Tensor = field(default_factory=lambda: torch.empty(0, 0))
    fine_attributes: Tensor = field(default_factory=lambda: torch.empty(0, 0))
    seen: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.bool))
    teacher: Callable[[Tensor], Tensor] | None = None

    def seen_labels(self, targets: Tensor) -> Tensor:
        """The fine labels (B,) of `targets` (B, L) that may be used where only some classes are seen; else -1."""
        labels = targets[:, self.fine_level]
        if not len(self.seen):
            return torch.full_like(labels, -1)
        return labels.masked_fill(~self.seen.to(labels.device)[labels.clamp_min(0)], -1)

    def descendants(self, level: int) -> Tensor:
        """Bool (C_l, F): fine class f lies under class c of a level, or is it.

        Raises:
            ValueError: a level that the task does not tell.
        """
        if self.memberships:
            return self.memberships[level]
        if level == self.fine_level:
            return torch.eye(self.fine_classes, dtype=torch.bool, device=self.membership.device)
        if level == self.coarse_level:
            return self.membership
        raise ValueError(f"level {level}: the task tells levels {self.coarse_level} and {self.fine_level}")

    @property
    def coarse_classes(self) -> int:
        """C."""
        return int(self.membership.shape[0])

    @property
    def fine_classes(self) -> int:
        """F."""
        return int(self.membership.shape[1])


@dataclass(frozen=True)
class Term:
    """One loss term: its unweighted value, a scalar, and its weight in the sum that is minimised."""

    value: Tensor
    weight: float = 1.0


Losses = dict[str, Term]


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that share a learning rate: the recipe's, times `lr_scale`."""

    parameters: list[nn.Parameter]
    lr_scale: float = 1.0


@dataclass(frozen=True)
class Owned:
    """A module that owns its update, and its learning rate as a multiple of the recipe's."""

    module: OwnsUpdate
    lr_scale: float = 1.0


@dataclass(frozen=True)
class Stage:
    """A named part of training; `epochs` None means the recipe's; `owned` are stepped with the optimizer."""

    name: str
    groups: list[ParameterGroup]
    epochs: int | None = None
    owned: tuple[Owned, ...] = ()


@dataclass(frozen=True)
class Prediction:
    """What a method says of B images: embedding (B, D), logits (B, C) and (B, F); None where it has none."""

    embedding: Tensor
    coarse_logits: Tensor | None = None
    fine_logits: Tensor | None = None


class Options(BaseModel):
    """Base of a method's own settings; unknown keys and wrong types are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class HeadOptions(Options):
    """Settings of a method whose heads are all plain or all cosine."""

    cosine: bool = Field(False, description="normalise embedding and weights before the product")
    temperature: float = Field(0.1, gt=0, description="what cosine logits are divided by; unused without cosine")

    @property
    def head_temperature(self) -> float | None:
        """The temperature for a head; None for plain inner products."""
        return self.temperature if self.cosine else None


class Method(nn.Module, ABC):
    """A backbone and what a system adds to it.

    Class attributes:
        needs: the supervision it learns from, checked before training.
        Options: its settings.
        selects: the validation metric that chooses its best epoch; coarse-only methods name a coarse one.
        training_only: prefixes of state that prediction does not need and a bundle leaves out.
        keeps_ratio: every batch holds images with and without a fine label in the set's own ratio.
    """

    needs: ClassVar[frozenset[Need]]
    Options: ClassVar[type[Options]] = Options
    selects: ClassVar[str]
    training_only: ClassVar[tuple[str, ...]] = ()
    keeps_ratio: ClassVar[bool] = False

    def __init__(self, backbone: Backbone, task: Task, options: Any = None) -> None:
        super().__init__()
        self.backbone = backbone
        self.task = task

    @classmethod
    def build(cls, make: Callable[[], Backbone], task: Task, options: Any = None) -> Self:
        """The method on as many nets as it takes, usually one; each call of `make` draws another."""
        return cls(make(), task, options)

    @property
    def embedding_dim(self) -> int:
        """D of the embedding that `predict` gives; the backbone's, unless a method says otherwise."""
        return self.backbone.dim

    @abstractmethod
    def losses(self, batch: BatchLike) -> Iterator[Losses]:
        """Yield named loss terms; the loop does one backward pass and one optimizer step for each yield."""

    def end_epoch(self, epoch: int) -> None:
        """What is to be done after the last step of a stage's epoch (0, 1, ...), before it is evaluated; nothing."""

    @abstractmethod
    def predict(self, images: Tensor) -> Prediction:
        """Embed and classify images (B, 3, H, W)."""

    def attention(self, images: Tensor) -> dict[str, Tensor]:
        """Where it looks in images (B, 3, S, S): named maps (B, H, W), at least 0, float32, on the features' grid.

        By default one map, "activation": where the last features are strong (see `losses.attention`). A method that
        has maps of its own gives those instead.
        """
        return {"activation": attention_maps(self.backbone.features(images))}

    def embeddings(self, images: Tensor) -> dict[str, Tensor]:
        """Every embedding it has, by name, (B, D) each; by default the one that `predict` gives."""
        return {"embedding": self.predict(images).embedding}

    def members(self) -> list[Method]:
        """The members of an ensemble, each a method of its own that shares its weights; none of any other method."""
        return []

    def stages(self) -> list[Stage]:
        """The training stages; by default one, of all parameters at the recipe's learning rate."""
        return [Stage("train", [ParameterGroup(list(self.parameters()))])]

    def enter(self, stage: int) -> None:
        """Training goes on with this stage (0, 1, ...): told before its first step, and when a run is resumed in it."""

    @classmethod
    def grows(cls, old: Any, new: Any) -> bool:
        """Whether a finished run with old options goes on by the new ones with further stages, all else the same."""
        return False

    def prefix(self, members: int) -> Method:
        """The part of an ensemble that its first members are, sharing their weights.

        Raises:
            RecipeError: it has not that many; what is no ensemble has one.
        """
        if members != 1:
            raise RecipeError(f"members = {members}: the run is no ensemble; leave it out")
        return self

    def is_training_only(self, name: str) -> bool:
        """Whether prediction can do without the state of this name."""
        return any(name.startswith(prefix) for prefix in self.training_only)

    def bundle_state(self) -> dict[str, Tensor]:
        """The state that prediction needs, by name."""
        return {name: value for name, value in self.state_dict().items() if not self.is_training_only(name)}
