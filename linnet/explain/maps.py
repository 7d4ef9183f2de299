"""Maps of one method over a batch: Grad-CAM of classes, member by member, or the method's own attention."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from linnet.errors import RunError
from linnet.explain.gradcam import grad_cam
from linnet.explain.scores import Levels, find_class, find_level, readable
from linnet.methods.base import Method, Prediction

__all__ = ["Answer", "Kind", "Maps", "Wanted", "maps_of"]

Kind = Literal["grad-cam", "attention"]


@dataclass(frozen=True)
class Wanted:
    """What is to be shown.

    Attributes:
        kind: Grad-CAM, or the method's own attention.
        name, level: the class that Grad-CAM explains, and its level. By default the class that is predicted, at each
            level the method classifies at, or, for members, at the finest.
        predicted: what counts as predicted of every image, a class number for each level from the coarsest on; by
            default the likeliest by the method's own scores of a level, which know nothing of other levels.
    """

    kind: Kind = "grad-cam"
    name: str | None = None
    level: str | None = None
    predicted: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Answer:
    """A class of a level and its probability by a method; whether it is the right one, None where that is not known."""

    level: str
    name: str
    probability: float
    right: bool | None = None

    def __str__(self) -> str:
        """As "Sooty Albatross 93 %"."""
        return f"{self.name} {100 * self.probability:.0f} %"


@dataclass(frozen=True)
class Maps:
    """What a method makes of B images.

    Attributes:
        maps: name of the map to (B, H, W), at least 0, not scaled.
        of: for each map and image the class that the map is of; None of a map of no class.
        answers: for each image the class predicted at every level, coarsest first.
    """

    maps: dict[str, Tensor]
    of: dict[str, list[Answer | None]]
    answers: list[list[Answer]]


def maps_of(method: Method, levels: Levels, images: Tensor, wanted: Wanted) -> Maps:
    """The maps that are wanted, over images (B, 3, S, S) as `predict` takes them; the method in eval mode.

    Every member of an ensemble is asked for the class that the ensemble predicts, so that its maps can be compared.

    Raises:
        RunError: the method has no class scores, or not at that level.
        TaxonomyError: no such class or level.
    """
    with torch.no_grad():
        scores = levels.scores(method.predict(images))
    answers = [_answers(levels, level, each) for level, each in scores.items()]
    of_images = [list(each) for each in zip(*answers, strict=True)] or [[] for _ in images]
    if wanted.kind == "attention":
        return _attention(method, levels, images, of_images)
    if not scores:
        raise RunError(
            "the method gives no class scores, so there is no Grad-CAM; take --kind attention (from the API: "
            "attention=true)"
        )
    found, members = Maps({}, {}, of_images), method.members()
    for level, classes in _targets(levels, scores, wanted, bool(members)).items():
        named = {f"member {number}": member for number, member in enumerate(members, start=1)}
        for name, asked in (named or {f"{levels.taxonomy.levels[level]} class": method}).items():
            found.maps[name] = grad_cam(asked, images, partial(_picked, levels, level, classes))
            with torch.no_grad():
                own = levels.scores(asked.predict(images))[level]
            found.of[name] = [*_answers(levels, level, own, classes)]
    return found


def _picked(levels: Levels, level: int, classes: Tensor, said: Prediction) -> Tensor:
    """The logits of classes (B,)."""
    return levels.scores(said)[level].gather(1, classes[:, None])[:, 0]


def _answers(levels: Levels, level: int, scores: Tensor, classes: Tensor | None = None) -> list[Answer]:
    """The likeliest classes by scores (B, classes) of a level, or those given (B,), with their probabilities."""
    likely = torch.softmax(scores.float(), 1)
    classes = likely.argmax(1) if classes is None else classes
    shares = likely.gather(1, classes[:, None])[:, 0].tolist()
    names, called = levels.taxonomy.classes[level], levels.taxonomy.levels[level]
    pairs = zip(classes.tolist(), shares, strict=True)
    return [Answer(called, readable(names[number]), share) for number, share in pairs]


def _targets(levels: Levels, scores: dict[int, Tensor], wanted: Wanted, several: bool) -> dict[int, Tensor]:
    """The classes (B,) to explain, by level; of `several` members at the finest level alone, unless one is named."""
    if wanted.name is not None:
        level, number = find_class(levels, list(scores), wanted.name, wanted.level)
        return {level: torch.full_like(scores[level].argmax(1), number)}
    if wanted.level is not None:
        chosen = [find_level(levels, list(scores), wanted.level)]
    else:
        chosen = [max(scores)] if several else [level for level in scores if level in (levels.coarse, levels.fine)]
    likeliest = {level: scores[level].argmax(1) for level in chosen}
    if wanted.predicted is None:
        return likeliest
    return {level: torch.full_like(each, wanted.predicted[level]) for level, each in likeliest.items()}


def _attention(method: Method, levels: Levels, images: Tensor, answers: list[list[Answer]]) -> Maps:
    """The method's own maps; those of a predicted class with that answer."""
    with torch.no_grad():
        maps = method.attention(images)
    classes = levels.taxonomy.levels
    called = {"coarse class": classes[levels.coarse], "fine class": classes[levels.fine]}
    of = {
        name: [next((answer for answer in row if answer.level == called.get(name)), None) for row in answers]
        for name in maps
    }
    return Maps(maps, of, answers)
