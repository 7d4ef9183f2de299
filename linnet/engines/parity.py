"""How far an engine's answers are from those of torch in float32, and what is too far."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from linnet.engines.base import OUTPUTS
from linnet.methods.base import Prediction

__all__ = ["LEAST_COSINE", "Parity", "compare", "complaint"]

LEAST_COSINE = {"float32": 0.99999, "bfloat16": 0.999}
"""The least cosine between an image's embeddings that passes, by the precision that an engine multiplies in."""

_SLACK = {"float32": 1e-3, "bfloat16": 5e-2}
"""Share of the spread of an image's logits by which its two best may change places: they were a tie."""


@dataclass(frozen=True)
class Parity:
    """How two predictions of the same n images differ.

    Attributes:
        cosine: the least and the mean cosine of an image's two embeddings.
        difference: by output, the largest absolute difference of a number.
        agreement: by output that is logits, the share of images whose best class is the same.
        gap: by output that is logits, the most by which an image's best class fell behind the new best one, as a share
            of the spread of its logits; 0 where all agree.
    """

    images: int
    cosine: tuple[float, float]
    difference: dict[str, float]
    agreement: dict[str, float]
    gap: dict[str, float]


def compare(reference: Prediction, given: Prediction) -> Parity:
    """The differences of two predictions (float32, CPU) of the same images, at least one."""
    cosines = _cosines(reference.embedding, given.embedding)
    difference, agreement, gap = {}, {}, {}
    for name in OUTPUTS:
        here, there = getattr(reference, name), getattr(given, name)
        if here is None or there is None:
            continue
        difference[name] = float((here - there).abs().max())
        if name != "embedding":
            new = there.argmax(1, keepdim=True)
            agreement[name] = float((here.argmax(1, keepdim=True) == new).float().mean())
            best, spread = here.amax(1, keepdim=True), here.amax(1, keepdim=True) - here.amin(1, keepdim=True)
            gap[name] = float(((best - here.gather(1, new)) / spread.clamp_min(1e-12)).max())
    return Parity(len(reference.embedding), (float(cosines.min()), float(cosines.mean())), difference, agreement, gap)


def complaint(parity: Parity, precision: str) -> str | None:
    """What of a comparison is too far off for a precision; None where nothing is."""
    least, slack = LEAST_COSINE[precision], _SLACK[precision]
    if not parity.cosine[0] >= least:  # so that what is no number fails
        return f"an embedding's cosine to torch's is {parity.cosine[0]:.6f}, below {least}"
    for name, gap in parity.gap.items():
        if not gap <= slack:
            return f"{name}: the best class differs from torch's in {1 - parity.agreement[name]:.0%} of the images"
    return None


def _cosines(first: Tensor, second: Tensor) -> Tensor:
    """The cosine (n,) of each pair; 1 where both are 0."""
    cosines = functional.cosine_similarity(first.double(), second.double(), dim=1)
    both = (first.abs().amax(1) == 0) & (second.abs().amax(1) == 0)
    return torch.where(both, 1.0, cosines)
