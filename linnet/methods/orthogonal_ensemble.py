"""`orthogonal-ensemble` (paper 004): members trained in turn, each kept off what the earlier ones look at."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, Self

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from linnet.backbones import Backbone
from linnet.backbones.together import Together
from linnet.errors import RecipeError
from linnet.losses.deep_head import DeepHead
from linnet.losses.hierarchy import coarse_log_probabilities
from linnet.losses.linear import LinearHead
from linnet.losses.orthogonal import attention_map, orthogonal_loss, rescaled, teacher_attention
from linnet.methods.base import BatchLike, Losses, Method, Need, Options, ParameterGroup, Prediction, Stage, Task, Term

__all__ = ["OrthogonalEnsemble", "OrthogonalEnsembleOptions"]


class OrthogonalEnsembleOptions(Options):
    """Settings of `orthogonal-ensemble`."""

    members: int = Field(5, ge=1, description="N, how many are trained, each for the recipe's epochs; more can follow")
    alpha: float = Field(0.5, ge=0, description="weight of the OR-loss; 0 is a plain ensemble of independent members")
    variant: Literal["paper", "official"] = Field(
        "paper",
        description="'official' does what the authors' code does: OR-loss rescaled to the size of CE, other head",
    )
    average: Literal["probabilities", "logits"] = Field("probabilities", description="what is averaged over members")
    backbone_lr: float = Field(1.0, gt=0, description="the nets' learning rate, as a multiple of lr")


class OrthogonalEnsemble(Method):
    """N nets and heads, one stage each; member n learns by `CE + alpha / (n - 1) sum over teachers of OR` (Eq. 6).

    Its teachers are all members before it, frozen and in eval mode. Members differ in their draws of head, order and
    augmentation, and of the net where it starts from scratch; the first is what method `fine` trains.

    The prediction is the mean of the members' probabilities (the paper says: of their outputs). The embedding is
    their pooled features, each of length 1, side by side: its cosine is the mean of the members' cosines, while
    features of nets trained apart have no common axes that a mean could be taken along.
    """

    needs = frozenset({Need.ALL_FINE})
    Options = OrthogonalEnsembleOptions
    selects = "fine_top1"
    membership: Tensor

    def __init__(
        self,
        backbone: Together,
        task: Task,
        options: OrthogonalEnsembleOptions,
        heads: Sequence[nn.Module],
    ) -> None:
        super().__init__(backbone, task)
        self.options = options
        self.register_buffer("membership", task.membership.clone(), persistent=False)
        self.heads = nn.ModuleList(heads)
        self.stage = len(heads) - 1

    @classmethod
    def build(cls, make: Callable[[], Backbone], task: Task, options: OrthogonalEnsembleOptions | None = None) -> Self:
        """Draw the members one after the other, so that a member's weights do not depend on how many follow."""
        options = options or OrthogonalEnsembleOptions()
        nets: list[Backbone] = []
        heads: list[nn.Module] = []
        for _ in range(options.members):
            nets.append(make())
            kind = LinearHead if options.variant == "paper" else DeepHead
            heads.append(kind(nets[-1].dim, task.fine_classes))
        return cls(Together(nets), task, options, heads)

    def prefix(self, members: int) -> OrthogonalEnsemble:
        """The ensemble of the first members alone, sharing their weights.

        Raises:
            RecipeError: it has not that many.
        """
        if not 1 <= members <= len(self.heads):
            raise RecipeError(f"members = {members}: the run has {len(self.heads)}; give 1 to {len(self.heads)}")
        nets = [self._nets.net(number) for number in range(members)]
        options = self.options.model_copy(update={"members": members})
        heads = list(self.heads)[:members]
        return OrthogonalEnsemble(Together(nets), self.task, options, heads).train(self.training)

    def members(self) -> list[Method]:
        """Each member, by itself, with its own logits."""
        options = self.options.model_copy(update={"members": 1, "average": "logits"})
        return [
            OrthogonalEnsemble(Together([self._nets.net(number)]), self.task, options, [self.heads[number]]).train(
                self.training
            )
            for number in range(self.stage + 1)
        ]

    @classmethod
    def grows(cls, old: OrthogonalEnsembleOptions, new: OrthogonalEnsembleOptions) -> bool:
        """Whether only members were added; a single model, which alpha had no part in, grows by any alpha."""
        free = {"members": old.members, **({"alpha": old.alpha} if old.members == 1 else {})}
        return new.members > old.members and new.model_copy(update=free) == old

    def stages(self) -> list[Stage]:
        """One for each member."""
        return [
            Stage(
                f"member {number + 1}",
                [
                    ParameterGroup(list(self._nets.net(number).parameters()), self.options.backbone_lr),
                    ParameterGroup(list(head.parameters())),
                ],
            )
            for number, head in enumerate(self.heads)
        ]

    def enter(self, stage: int) -> None:
        """Train this member; those before it are its teachers, and predict with it."""
        self.stage = stage
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Put the member that learns in training mode, and the others in eval mode."""
        super().train(mode)
        for number, head in enumerate(self.heads):
            self._nets.net(number).train(mode and number == self.stage)
            head.train(mode and number == self.stage)
        return self

    def losses(self, batch: BatchLike) -> Iterator[Losses]:
        """`fine`, and `orthogonal` where there are teachers and alpha is not 0; rescaled if official."""
        features = self._nets.net(self.stage).features(batch.images)
        _, logits = self._classified(self.stage, features)
        fine = F.cross_entropy(logits, batch.targets[:, self.task.fine_level])
        terms = {"fine": Term(fine)}
        if self.stage > 0 and self.options.alpha > 0:
            loss = orthogonal_loss(features, self._teachers(batch.images))
            loss = rescaled(loss, fine) if self.options.variant == "official" else loss
            terms["orthogonal"] = Term(loss, self.options.alpha)
        yield terms

    def predict(self, images: Tensor) -> Prediction:
        """Embedding (B, N D), fine logits, and coarse log-probabilities; while training of the members so far."""
        numbers = range(self.stage + 1)
        said = [self._classified(number, self._nets.net(number).features(images)) for number in numbers]
        embedding = torch.cat([F.normalize(pooled.float()) for pooled, _ in said], 1)
        logits = torch.stack([each for _, each in said])
        if self.options.average == "logits":
            fine = logits.mean(0)
        else:
            fine = torch.logsumexp(torch.log_softmax(logits, 2), 0) - math.log(len(said))
        return Prediction(embedding, coarse_log_probabilities(torch.log_softmax(fine, 1), self.membership), fine)

    def attention(self, images: Tensor) -> dict[str, Tensor]:
        """Each member's map of Eq. 1, before it is standardised."""
        numbers = range(self.stage + 1)
        maps = (attention_map(self._nets.net(number).features(images)) for number in numbers)
        return {f"member {number + 1}": each.clamp(min=0) for number, each in enumerate(maps)}

    @property
    def _nets(self) -> Together:
        assert isinstance(self.backbone, Together)
        return self.backbone

    def _classified(self, number: int, features: Tensor) -> tuple[Tensor, Tensor]:
        """A member's pooled features (B, D) and its logits (B, F)."""
        paper = self.options.variant == "paper"
        pooled = features.mean(dim=(2, 3)) if paper else features.amax(dim=(2, 3))
        return pooled, self.heads[number](pooled)

    def _teachers(self, images: Tensor) -> Tensor:
        """The mean of the teachers' attention (B, H, W); of their passes nothing else is kept."""
        with torch.inference_mode():
            total = teacher_attention(self._nets.net(0).features(images))
            for number in range(1, self.stage):
                total += teacher_attention(self._nets.net(number).features(images))
            total /= self.stage
        return total.clone()  # an inference tensor cannot be saved for a backward pass
