"""Which methods the labels allow, which to start with and why, and the command to paste."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from linnet.manifest import Manifest
from linnet.methods import METHODS, allowed_methods, method_class
from linnet.methods.base import Need
from linnet.recipes import Recipe
from linnet.tables import SUFFIXES
from linnet.training.data import TrainingData, available
from linnet.training.part_labels import levels_of, splits

__all__ = ["Advice", "Suggestion", "advise"]

_SMALL = 64
"""Shorter side, pixels, of the middle image, up to which a net for small images is suggested."""

_WHY = {
    "coarse-constraint": "all training images have fine labels and there is a hierarchy: it learns from both",
    "fine": "cross-entropy on the fine labels alone, the yardstick of the others",
    "any-level": "each image teaches what its label says, at whatever level it is",
    "min-pool": "coarse labels for all images and fine ones for some: it learns from both",
    "ridge": "no image has a fine label, but classes are described: the control, which takes minutes",
    "bigspn": "names fine classes by their descriptions, trained on coarse labels",
    "coins": "coarse labels alone: an embedding in which finer classes separate, to search and to discover them by",
    "coarse": "cross-entropy on the coarse labels alone, the yardstick of coins",
    "instance": "some training images have no label at all, and this needs none",
}


@dataclass(frozen=True)
class Suggestion:
    """A method, why it fits these labels, and the command that trains it."""

    method: str
    why: str
    command: str


@dataclass(frozen=True)
class Advice:
    """What can be learnt from a collection.

    Attributes:
        have: the supervision that the training images offer, in words.
        allowed: the methods that this allows.
        refused: the other methods, each with what it lacks, in words.
        start: what to begin with, and then what to compare with it.
        once: what must be mended before `start` will run, in words; '' where nothing must.
    """

    have: tuple[str, ...]
    allowed: tuple[str, ...]
    refused: tuple[tuple[str, str], ...]
    start: tuple[Suggestion, ...]
    once: str = ""


def advise(manifest: Manifest, recipe: Recipe, given: Sequence[str], short_side: float) -> Advice:
    """Say what can be learnt.

    Args:
        manifest: the collection.
        recipe: says which levels are meant.
        given: the arguments that read the collection (DATA, settings, options), to be repeated in commands.
        short_side: of the middle image, pixels.

    Raises:
        ManifestError: the splits cannot be trained on: see `part_labels.splits`.
    """
    coarse, fine = levels_of(recipe, manifest.taxonomy)
    rows = splits(manifest)
    data = TrainingData(manifest, coarse, fine, rows, carved=False)
    have = hoped = available(data)
    once = ""
    blank = manifest.targets[rows["train"], coarse] < 0
    if have <= {Need.SOME_FINE, Need.ATTRIBUTES} and not blank.all():
        # A few images without a label should not hide what the others are good for.
        hoped = available(replace(data, rows={**rows, "train": rows["train"][~blank]}))
        level = manifest.taxonomy.levels[coarse]
        once = f"once the training images without a {level} label ({blank.sum():,}) have one or are taken out"
    allowed = allowed_methods(have)
    refused = [
        (name, " and ".join(sorted(need.value for need in method_class(name).needs - have)))
        for name in METHODS
        if name not in allowed
    ]
    start = [
        Suggestion(name, _WHY[name], _command(name, given, short_side))
        for name in _start(hoped, coarse != fine)
        if name in allowed_methods(hoped)
    ]
    words = tuple(need.value for need in Need if need in have)
    return Advice(words, tuple(allowed), tuple(refused), tuple(start), once)


def _start(have: set[Need], two_levels: bool) -> tuple[str, ...]:
    """Methods to begin with, the first before the others."""
    if two_levels and Need.ALL_FINE in have:
        return "coarse-constraint", "fine", "coins"
    if two_levels and Need.SOME_FINE in have and Need.ANY_LEVEL in have:
        return "any-level", "min-pool", "coins"
    if two_levels and Need.SOME_FINE in have and Need.COARSE in have:
        return "min-pool", "coins"
    if two_levels and Need.ATTRIBUTES in have and Need.COARSE in have:
        return "ridge", "bigspn", "coins"
    return ("coins", "coarse") if Need.COARSE in have else ("instance",)


def _command(method: str, given: Sequence[str], short_side: float) -> str:
    """A line for a shell."""
    settings = {"method": method, **_net(method, short_side)}
    stem = Path(given[0]).stem if Path(given[0]).suffix.lower() in SUFFIXES else Path(given[0]).name
    name = re.sub(r"[^\w.-]+", "-", stem).strip("-.") or "own"
    words = [
        "linnet",
        "train",
        *given,
        *(f"{key}={value}" for key, value in settings.items()),
        "--out",
        f"runs/{name}-{method}",
    ]
    return shlex.join(words)


def _net(method: str, short_side: float) -> dict[str, str]:
    """A net that fits the images' size: small ones need a stem that does not shrink them."""
    if method in ("ridge", "bigspn"):  # they need features that are learnt already
        frozen = {"frozen": "true"} if method == "ridge" else {}
        return {**frozen, "backbone": "resnet50", "pretrained": "true"}
    if short_side <= _SMALL:
        return {"backbone": "cifar-resnet18", "image_size": str(32 if short_side <= 40 else 64)}
    return {"backbone": "resnet18", "image_size": str(128 if short_side <= 200 else 224)}
