"""`bigspn` (paper 000): one encoder for coarse classes, another for fine ones, and one interpreter of descriptions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from linnet.backbones import Backbone
from linnet.losses.balanced import BalancedRegression
from linnet.losses.encoders import PartEncoder, PooledEncoder
from linnet.losses.linear import in_full_precision
from linnet.losses.semantic import candidate_loss, cosine_scores
from linnet.methods.base import BatchLike, Losses, ParameterGroup, Prediction, Stage, Task, Term
from linnet.methods.described import Described, DescribedOptions

__all__ = ["BigSpn", "BigSpnOptions"]

_VARIANTS: dict[str, dict[str, Any]] = {
    "paper": {},
    "official": {
        "reduced": 512,
        "fusion": "concat",
        "candidates_from": "label",
        "coarse_by": "classifier",
        "trains": "encoder",
        "still_epochs": 90,
    },
    "improved": {"coarse_by": "classifier", "fine_encoder": "regression"},
}


class BigSpnOptions(DescribedOptions):
    """Settings of `bigspn`; `variant` sets those that are not given."""

    variant: Literal["paper", "official", "improved"] = Field(
        "paper", description="sets what is not given: 'official' as the authors' code does, 'improved' as we found best"
    )
    parts: int = Field(4, ge=1, description="K, the number of attention maps")
    reduced: int = Field(256, ge=1, description="D, channels of the features that the maps gate; official 512")
    fusion: Literal["bilinear", "concat"] = Field(
        "bilinear",
        description="of the gated maps: products of pairs, summed (Eq. 4), or means side by side (official)",
    )
    gates: Literal["fan_out", "fan_in"] = Field(
        "fan_out", description="start of the maps' last layer, by He et al.: 'fan_out' saturates most of a map"
    )
    lambda_: float = Field(1.0, ge=0, alias="lambda", description="weight of the candidate loss, L_se")
    candidates_from: Literal["prediction", "label"] = Field(
        "prediction",
        description="coarse class whose children are candidates: predicted, or true (official)",
    )
    coarse_by: Literal["description", "classifier"] = Field(
        "description", description="names coarse classes: the nearest g(a(y)) (Eq. 2), or a linear layer (official)"
    )
    trains: Literal["all", "encoder"] = Field(
        "all", description="what the candidate loss trains: the backbone too, or the fine encoder alone (official)"
    )
    still_epochs: int = Field(
        0, ge=0, description="epochs of a first stage with a backbone and batch norms that stand still (official: 90)"
    )
    still_lr: float = Field(10.0, gt=0, description="learning rate of that stage, as a multiple of lr")
    coarse_encoder: Literal["pooled", "parts"] = Field(
        "pooled", description="f_v, or one like f_pv (last row of table 3)"
    )
    fine_encoder: Literal["parts", "pooled", "coarse", "regression"] = Field(
        "parts",
        description="f_pv, a second f_v, or the coarse encoder as it is (table 3); improved: attributes by regression, "
        "with the images of a coarse class shared out evenly among its children",
    )
    start: float = Field(10.0, gt=0, description="regularisation of the regression on coarse classes that starts it")
    strength: float = Field(1.0, gt=0, description="regularisation once images are shared out among the fine classes")
    sharing: float = Field(0.03, gt=0, description="temperature of the cosines that images are shared out by")
    rounds: int = Field(10, ge=0, description="how often images are shared out and attributes regressed anew")

    @model_validator(mode="before")
    @classmethod
    def _by_variant(cls, given: Any) -> Any:
        usual = _VARIANTS.get(given.get("variant", "paper"), {}) if isinstance(given, dict) else {}
        return {**usual, **given} if usual else given

    @model_validator(mode="after")
    def _has_pairs(self) -> Self:
        if self.parts < 2 and self.fusion == "bilinear" and "parts" in {self.coarse_encoder, self.fine_encoder}:
            raise ValueError(f"parts = {self.parts}: bilinear fusion multiplies pairs of maps; give 2 or more")
        return self


class BigSpn(Described):
    """Two encoders of one feature map, aligned with one g; the losses are stepped in turn on every batch.

    L_sa (Eq. 1) trains f_v, g and a linear classifier on coarse labels. L_se (Eq. 6) draws f_pv to the nearest g(a(y))
    among the children of the coarse class that f_v names, g fixed. Coarse classes are told by f_v (Eq. 2), fine ones
    by f_pv (Eq. 7, once restricted to the candidates).
    """

    Options = BigSpnOptions
    membership: Tensor

    def __init__(self, backbone: Backbone, task: Task, options: BigSpnOptions | None = None) -> None:
        options = options or BigSpnOptions()
        super().__init__(backbone, task, options)
        self.options = options
        self._stage = self._names(backbone)[0]
        self.register_buffer("membership", task.membership.clone(), persistent=False)
        self.coarse_encoder = self._encoder(self.options.coarse_encoder)
        self.classifier = nn.Linear(self.options.dim, task.coarse_classes)
        self.regression = self._regression() if self.options.fine_encoder == "regression" else None
        if self.options.fine_encoder in ("parts", "pooled"):
            self.fine_encoder = self._encoder(self.options.fine_encoder)

    def _encoder(self, kind: str) -> PooledEncoder | PartEncoder:
        o, channels = self.options, self.backbone.dim
        if kind == "pooled":
            return PooledEncoder(channels, o.dim)
        return PartEncoder(channels, o.dim, o.reduced, o.parts, o.fusion, o.gates)

    def _regression(self) -> BalancedRegression:
        o, task = self.options, self.task
        return BalancedRegression(
            self.backbone.dim,
            task.coarse_attributes,
            task.fine_attributes,
            task.membership,
            task.coarse_of_instance,
            start=o.start,
            strength=o.strength,
            temperature=o.sharing,
            rounds=o.rounds,
        )

    @property
    def embedding_dim(self) -> int:
        """The length of what g and the encoders give; of predicted attributes, A."""
        return self.dim if self.regression is None else self.fine_attributes.shape[1]

    def is_training_only(self, name: str) -> bool:
        """What a regression keeps; and the classifier, unless it names the coarse classes."""
        unused = self.options.coarse_by == "description" and name.startswith("classifier.")
        return unused or name in ("regression.kept", "regression.known", "regression.coarse_anchors")

    def _names(self, backbone: Backbone) -> list[str]:
        """The stages, by name."""
        still, learns = self.options.still_epochs > 0, any(True for _ in backbone.parameters())
        return (
            ["heads"] * still
            + ["train"] * (learns or not still)
            + ["fit"] * (self.options.fine_encoder == "regression")
        )

    def stages(self) -> list[Stage]:
        """`train`, of all parameters; before it `heads` where the net stands still at first, and after it `fit`.

        Where no net learns, because it is frozen, `heads` leaves nothing to `train`. `fit` is the regression's: one
        pass over the images, without a step.
        """
        body = list(self.backbone.parameters())
        mine = {id(parameter) for parameter in body}
        heads = [parameter for parameter in self.parameters() if id(parameter) not in mine]
        known = {
            "heads": Stage("heads", [ParameterGroup(heads, self.options.still_lr)], epochs=self.options.still_epochs),
            "train": Stage("train", [ParameterGroup(heads + body)]),
            "fit": Stage("fit", [], epochs=1),
        }
        return [known[name] for name in self._names(self.backbone)]

    def enter(self, stage: int) -> None:
        """Learn what the stage says."""
        self._stage = self._names(self.backbone)[stage]

    def end_epoch(self, epoch: int) -> None:
        """Solve the regression, in its stage."""
        if self._stage == "fit" and self.regression is not None:
            self.regression.fit()

    def train(self, mode: bool = True) -> BigSpn:
        """While the regression is fitted all stands as it is; in the official stage `heads` no batch norm moves."""
        super().train(mode and self._stage != "fit")
        if mode and self._stage == "heads":
            for part in self.modules():
                if isinstance(part, nn.BatchNorm2d):
                    part.eval()
        return self

    def _features(self, images: Tensor) -> Tensor:
        with nullcontext() if self._stage == "train" else torch.no_grad():
            return self.backbone.features(images)

    def _coarse_logits(self, embedding: Tensor) -> Tensor:
        if self.options.coarse_by == "description":
            return self.coarse_scores(embedding) / self.temperature
        with in_full_precision(embedding):
            logits: Tensor = self.classifier(embedding.float())
        return logits

    def losses(self, batch: BatchLike) -> Iterator[Losses]:
        """L_sa, then L_se (`candidates`), each with a step of its own; the regression has no L_se, but a stage."""
        labels = batch.targets[:, self.task.coarse_level]
        features = self._features(batch.images)
        if self._stage == "fit" and self.regression is not None:
            self.regression.keep(features, batch.index, self.task.seen_labels(batch.targets))
            return
        embedding = self.coarse_encoder(features)
        named = labels
        if self.options.candidates_from == "prediction":
            named = self._coarse_logits(embedding.detach()).argmax(1)
        yield self.aligned(embedding, self.classifier, labels)
        if self.options.fine_encoder in ("coarse", "regression"):
            return  # no encoder learns from candidates
        if self.options.trains == "encoder":
            features = features.detach()
        elif self._stage == "train":
            features = self._features(batch.images)  # the first step has changed the net
        scores = cosine_scores(self.fine_encoder(features), self.interpreter(self.fine_attributes).detach())
        candidates = self._candidates(named, batch.targets)
        yield {"candidates": Term(candidate_loss(scores, candidates), self.options.lambda_)}

    def _candidates(self, named: Tensor, targets: Tensor) -> Tensor:
        """Bool (B, F): the children of the coarse class (B,); of an image of a fine class that is seen, that class."""
        fine = self.task.seen_labels(targets)
        own = F.one_hot(fine.clamp_min(0), self.task.fine_classes).bool()
        return torch.where((fine >= 0)[:, None], own, self.membership[named])

    def fine_scores(self, embedding: Tensor) -> Tensor:
        """Cosines (B, F) of what the fine encoder gives with g(a(y)), or with the attributes themselves."""
        if self.regression is not None:
            return cosine_scores(embedding, self.regression.anchors)
        return super().fine_scores(embedding)

    def predict(self, images: Tensor) -> Prediction:
        """f_pv(x) as embedding, and the scores of both levels' classes, cosines over the temperature."""
        coarse, fine = self.embeddings(images).values()
        return Prediction(fine, self._coarse_logits(coarse), self.fine_scores(fine) / self.temperature)

    def embeddings(self, images: Tensor) -> dict[str, Tensor]:
        """f_v(x) and f_pv(x), before and after fine classes are told apart (Fig. 6)."""
        features = self.backbone.features(images)
        coarse = fine = self.coarse_encoder(features)
        if self.options.fine_encoder != "coarse":
            fine = self.fine_encoder(features) if self.regression is None else self.regression(features)
        return {"f_v": coarse, "f_pv": fine}

    def attention(self, images: Tensor) -> dict[str, Tensor]:
        """The maps R_k of f_pv, "part 1" and so on, (B, H, W) in 0..1; where it has none, what every method shows."""
        chosen = self.options.fine_encoder
        encoder = self.fine_encoder if chosen in ("parts", "pooled") else self.coarse_encoder
        if not isinstance(encoder, PartEncoder):
            return super().attention(images)
        maps = encoder.maps(self.backbone.features(images)).float()
        return {f"part {k}": each for k, each in enumerate(maps.unbind(1), 1)}
