"""`fgn` (Xian et al. 2018, f-CLSWGAN, as paper 000 has it): features of fine classes are made from descriptions."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from linnet.backbones import Backbone
from linnet.losses.linear import LinearHead
from linnet.losses.semantic import cosine_scores
from linnet.losses.wgan import Critic, Generator, gradient_penalty, held
from linnet.methods.base import BatchLike, Losses, Method, Need, Options, ParameterGroup, Prediction, Stage, Task, Term

__all__ = ["Fgn", "FgnOptions"]


class FgnOptions(Options):
    """Settings of `fgn`; those not given by paper 000 are f-CLSWGAN's."""

    hidden: int = Field(4096, ge=1, description="width of the generator's and the critic's hidden layers")
    noise: int | None = Field(None, ge=1, description="random numbers behind a feature; none = as many as attributes")
    critic_steps: int = Field(
        5, ge=1, description="steps of the critic for one of the generator, each on its part of the batch"
    )
    penalty: float = Field(10.0, gt=0, description="weight of the critic's gradient penalty")
    class_weight: float = Field(0.01, ge=0, description="weight of the class loss on generated features")
    generator_epochs: int | None = Field(None, ge=1, description="length of that stage; none = the recipe's epochs")
    generator_lr: float = Field(0.1, gt=0, description="learning rate of that stage, as a multiple of the recipe's")
    classifier_epochs: int | None = Field(None, ge=1, description="length of that stage; none = the recipe's epochs")
    classifier_lr: float = Field(1.0, gt=0, description="learning rate of that stage, as a multiple of the recipe's")
    generated: int = Field(4, ge=1, description="features made of each fine class, at every step of the last stage")


class Fgn(Method):
    """Three stages on pooled features x; the descriptions a less their mean over the coarse classes, at unit length.

    `encoder`: backbone and a linear classifier of the coarse classes, by cross-entropy. `generator`: on the features
    as they then are, over the largest value that the first stage saw (the original scales every number to 0..1, and
    the penalty's unit slope means that), a critic D and a generator G conditioned on the coarse classes' descriptions,

        max_D min_G E[D(x, a)] - E[D(G(z, a), a)] - penalty E[(|grad D| - 1)^2] + class_weight E[CE(G(z, a), y)],

    the last by the first stage's classifier. `classifier`: a softmax over the fine classes on G(z, a) of their
    descriptions, drawn anew at every step. That names the fine class, and the first stage's the coarse one.

    The epoch of a stage is chosen by the coarse class that the fine one implies, and fine classes are named by what
    the stage teaches: a coarse class's children alike, then the nearest G(0, a), then the softmax.
    """

    needs = frozenset({Need.COARSE, Need.ATTRIBUTES})
    Options = FgnOptions
    selects = "coarse_top1_implied"
    training_only = ("generator.", "critic.", "scale")
    membership: Tensor
    coarse_attributes: Tensor
    fine_attributes: Tensor
    scale: Tensor

    def __init__(self, backbone: Backbone, task: Task, options: FgnOptions | None = None) -> None:
        super().__init__(backbone, task)
        self.options = options = options or FgnOptions()
        self.register_buffer("membership", task.membership.clone(), persistent=False)
        self.register_buffer("coarse_attributes", task.coarse_attributes.clone())
        self.register_buffer("fine_attributes", task.fine_attributes.clone())
        width = task.coarse_attributes.shape[1]
        self.register_buffer("scale", torch.zeros(()))
        self.coarse_head = LinearHead(backbone.dim, task.coarse_classes)
        self.generator = Generator(options.noise or width, width, options.hidden, backbone.dim)
        self.critic = Critic(backbone.dim, width, options.hidden)
        self.fine_head = LinearHead(backbone.dim, task.fine_classes)
        self._stage: int | None = None

    def stages(self) -> list[Stage]:
        """`encoder`, `generator`, `classifier`."""
        made, told = ([*part.parameters()] for part in (self.generator, self.critic))
        options = self.options
        return [
            Stage("encoder", [ParameterGroup([*self.backbone.parameters(), *self.coarse_head.parameters()])]),
            Stage("generator", [ParameterGroup(made + told, options.generator_lr)], options.generator_epochs),
            Stage(
                "classifier",
                [ParameterGroup([*self.fine_head.parameters()], options.classifier_lr)],
                options.classifier_epochs,
            ),
        ]

    def enter(self, stage: int) -> None:
        """Learn what the stage says."""
        self._stage = stage

    def train(self, mode: bool = True) -> Fgn:
        """After the first stage the backbone stays in eval mode: features are what they will be."""
        super().train(mode)
        if self._stage:
            self.backbone.eval()
        return self

    def losses(self, batch: BatchLike) -> Iterator[Losses]:
        """`coarse`; then `critic` and `penalty` for each step of the critic, `generator` and `classes`; then `fine`.

        What is logged of the critic is the sum over its steps.
        """
        labels = batch.targets[:, self.task.coarse_level]
        if not self._stage:
            seen = self.backbone(batch.images)
            self.scale = torch.maximum(self.scale, seen.detach().max().float())
            yield {"coarse": Term(F.cross_entropy(self.coarse_head(seen), labels))}
        elif self._stage == 1:
            with torch.no_grad():
                real = self.backbone(batch.images).float() / self.size()
            yield from self._in_turn(real, labels)
        else:
            yield {"fine": Term(self._fine_loss())}

    def _in_turn(self, real: Tensor, labels: Tensor) -> Iterator[Losses]:
        """The critic's steps, and the generator's on the last of their parts."""
        described = self.described(self.coarse_attributes)[labels]
        parts = tuple(each.chunk(self.options.critic_steps) for each in (real, described, labels))
        for x, a, _ in zip(*parts, strict=True):
            yield self.critic_losses(x, a)
        yield self.generator_losses(parts[1][-1], parts[2][-1])

    def described(self, attributes: Tensor) -> Tensor:
        """What generator and critic are told of classes (n, A): what differs between them, at unit length."""
        return F.normalize(attributes - self.coarse_attributes.mean(0))

    def size(self) -> Tensor:
        """What a feature of 1 in the generator's eyes is in the net's, a scalar; 1 before any was seen."""
        return torch.where(self.scale > 0, self.scale, 1.0)

    def critic_losses(self, real: Tensor, described: Tensor) -> Losses:
        """`critic`, E[D(G(z, a), a)] - E[D(x, a)], and `penalty`, of real features (n, D) in 0..1 and a (n, A)."""
        with torch.no_grad():
            fake = self.generator.draw(described)
        share = real.new_empty(len(real), 1).uniform_()
        distance = self.critic(fake, described).mean() - self.critic(real, described).mean()
        penalty = gradient_penalty(self.critic, real, fake, described, share)
        return {"critic": Term(distance), "penalty": Term(penalty, self.options.penalty)}

    def generator_losses(self, described: Tensor, labels: Tensor) -> Losses:
        """`generator`, -E[D(G(z, a), a)], and `classes`, E[CE(G(z, a), y)]; of a (n, A) and coarse labels (n,)."""
        fake = self.generator.draw(described)
        with held(self.critic, self.coarse_head):
            scores, logits = self.critic(fake, described), self.coarse_head(fake * self.size())
        classes = F.cross_entropy(logits, labels)
        return {"generator": Term(-scores.mean()), "classes": Term(classes, self.options.class_weight)}

    def _fine_loss(self) -> Tensor:
        labels = torch.arange(self.task.fine_classes, device=self.fine_attributes.device)
        labels = labels.repeat_interleave(self.options.generated)
        with torch.no_grad():
            made = self.generator.draw(self.described(self.fine_attributes)[labels]) * self.size()
        return F.cross_entropy(self.fine_head(made), labels)

    def predict(self, images: Tensor) -> Prediction:
        """Pooled features as embedding, and logits of both classifiers; before the last stage see the class's text."""
        embedding = self.backbone(images)
        coarse = self.coarse_head(embedding)
        return Prediction(embedding, coarse, self._fine_logits(embedding, coarse))

    def _fine_logits(self, embedding: Tensor, coarse: Tensor) -> Tensor:
        if self._stage == 0:
            children = self.membership.sum(1)
            return (coarse - children.log())[:, self.membership.int().argmax(0)]
        if self._stage == 1:
            described = self.described(self.fine_attributes)
            typical = self.generator(described.new_zeros(len(described), self.generator.noise), described)
            return cosine_scores(embedding, typical)
        logits: Tensor = self.fine_head(embedding)
        return logits
