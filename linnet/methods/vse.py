"""`vse` (Zhu, Wang & Saligrama 2019, as paper 000 has it): an embedding of attended parts, one for both levels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from linnet.backbones import Backbone
from linnet.losses.encoders import PartEncoder
from linnet.methods.base import BatchLike, Losses, Task
from linnet.methods.described import DescribedOptions, OneEncoder

__all__ = ["Vse", "VseOptions"]


class VseOptions(DescribedOptions):
    """Settings of `vse`."""

    parts: int = Field(4, ge=1, description="K, the number of attention maps")
    reduced: int = Field(512, ge=1, description="channels of the features that the maps gate")
    gates: Literal["fan_out", "fan_in"] = Field(
        "fan_out", description="start of the maps' last layer, by He et al.: 'fan_out' saturates most of a map"
    )


class Vse(OneEncoder):
    """K attention maps gate the features; their pooled parts, side by side, are embedded and aligned with g (Eq. 1).

    There is one branch: fine classes are told by the encoder that learned from the coarse ones.
    """

    Options = VseOptions
    training_only = ("classifier.",)
    encoder: PartEncoder

    def __init__(self, backbone: Backbone, task: Task, options: VseOptions | None = None) -> None:
        options = options or VseOptions()
        super().__init__(backbone, task, options)
        self.encoder = PartEncoder(backbone.dim, options.dim, options.reduced, options.parts, "concat", options.gates)
        self.classifier = nn.Linear(options.dim, task.coarse_classes)

    def losses(self, batch: BatchLike) -> Iterator[Losses]:
        """L_sa, Eq. 1, on the parts' embedding."""
        embedding = self.embed(batch.images)
        yield self.aligned(embedding, self.classifier, batch.targets[:, self.task.coarse_level])

    def attention(self, images: Tensor) -> dict[str, Tensor]:
        """The K maps, "part 1" and so on, (B, H, W) in 0..1."""
        maps = self.encoder.maps(self.backbone.features(images)).float()
        return {f"part {k}": each for k, each in enumerate(maps.unbind(1), 1)}
