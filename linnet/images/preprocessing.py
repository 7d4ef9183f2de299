"""What is done to every image: the evaluation preprocessing, and the kinds of training augmentation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from linnet.errors import RecipeError, nearest

__all__ = ["Augmentation", "AugmentationKind", "Interpolation", "Preprocessing"]

AugmentationKind = Literal["none", "crop", "resized-crop", "window"]
Interpolation = Literal["bilinear", "bicubic"]


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes the (3, size, size) input of a backbone; a bundle stores it as JSON.

    Attributes:
        size: side of the square input, pixels.
        resize: at evaluation the shorter side is scaled (antialiased) to this many pixels before the
            centre crop of `size`; None stands for `size`, which leaves images that have it already
            untouched.
        mean: RGB mean to subtract, in units of the full range (0 to 1).
        std: RGB standard deviation to divide by, in the same units.
        interpolation: Pillow filter of every resize, in training too.

    Raises:
        RecipeError: a value is out of range; names the setting.
    """

    size: int
    resize: int | None = None
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    interpolation: Interpolation = "bilinear"

    def __post_init__(self) -> None:
        """Check the ranges, and make tuples of what JSON gives as lists."""
        object.__setattr__(self, "mean", tuple(float(value) for value in self.mean))
        object.__setattr__(self, "std", tuple(float(value) for value in self.std))
        if self.size < 1:
            raise RecipeError(f"size = {self.size}: an image has at least 1 pixel a side")
        if self.resize is not None and self.resize < self.size:
            raise RecipeError(
                f"resize = {self.resize} is smaller than size = {self.size}: the centre crop would leave "
                f"the image; give resize >= {self.size}, or leave it out"
            )
        if (len(self.mean), len(self.std)) != (3, 3) or min(self.std) <= 0:
            raise RecipeError(f"mean = {self.mean}, std = {self.std}: give three numbers each, std above 0")
        _check_choice("interpolation", self.interpolation, get_args(Interpolation))

    @property
    def short_side(self) -> int:
        """Length the shorter side is scaled to at evaluation, pixels."""
        return self.size if self.resize is None else self.resize

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON types."""
        return {**asdict(self), "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Preprocessing:
        """The inverse of `to_json`.

        Raises:
            RecipeError: a key is unknown or missing, or a value is out of range.
        """
        return cls(**_known(content, cls))


@dataclass(frozen=True)
class Augmentation:
    """What a training image undergoes; every draw is keyed by (seed, epoch, position).

    Attributes:
        kind: "none"; "crop", a random `size` window of the image with a black border of `padding`
            pixels added; "resized-crop", a random part of the image, by area and aspect ratio, resized
            to `size` (torchvision's RandomResizedCrop); "window", a random square whose side is `share` of the
            image's shorter side, resized to `size`: the image scaled to a shorter side and a window of it.
        padding: width of the black border of "crop", pixels.
        flip: mirror left to right with probability 1/2 (all but "none").
        scale: least and greatest share of the image's area ("resized-crop").
        ratio: least and greatest width / height ("resized-crop").
        share: side of the square, as a share of the image's shorter side ("window").
        color_jitter: strength of the change of colours (see `colour`), 0 for none; with any kind.
        grayscale: share of the images that are shown without colours; with any kind.

    Raises:
        RecipeError: a value is out of range; names the setting.
    """

    kind: AugmentationKind = "none"
    padding: int = 4
    flip: bool = True
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    share: float = 1.0
    color_jitter: float = 0.0
    grayscale: float = 0.0

    def __post_init__(self) -> None:
        """Check the ranges, and make tuples of what JSON gives as lists."""
        object.__setattr__(self, "scale", tuple(float(value) for value in self.scale))
        object.__setattr__(self, "ratio", tuple(float(value) for value in self.ratio))
        _check_choice("augmentation", self.kind, get_args(AugmentationKind))
        if self.padding < 0:
            raise RecipeError(f"padding = {self.padding}: give 0 or more pixels")
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise RecipeError(f"scale = {self.scale}: give two shares of the area, 0 < least <= greatest <= 1")
        if not 0 < self.ratio[0] <= self.ratio[1]:
            raise RecipeError(f"ratio = {self.ratio}: give two values of width / height, 0 < least <= greatest")
        if not 0 < self.share <= 1:
            raise RecipeError(f"share = {self.share}: give a share of the shorter side, above 0 and at most 1")
        for name in ("color_jitter", "grayscale"):
            if not 0 <= (value := getattr(self, name)) <= 1:
                raise RecipeError(f"{name} = {value}: give 0 (none) to 1")

    @property
    def of_whole(self) -> bool:
        """Whether it cuts a box of the whole image; the other kinds start from the evaluation view."""
        return self.kind in ("resized-crop", "window")

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON types."""
        return {**asdict(self), "scale": list(self.scale), "ratio": list(self.ratio)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Augmentation:
        """The inverse of `to_json`.

        Raises:
            RecipeError: a key is unknown, or a value is out of range.
        """
        return cls(**_known(content, cls))


def _check_choice(setting: str, given: str, allowed: tuple[str, ...]) -> None:
    if given not in allowed:
        raise RecipeError(f"{setting} = {given!r}: choose one of {', '.join(allowed)}{nearest(given, allowed)}")


def _known(content: Mapping[str, Any], kind: type[Preprocessing] | type[Augmentation]) -> dict[str, Any]:
    names = list(kind.__dataclass_fields__)
    for name in content:
        if name not in names:
            raise RecipeError(f"{kind.__name__}: unknown key {name!r}{nearest(name, names)}; known: {names}")
    if kind is Preprocessing and "size" not in content:
        raise RecipeError("Preprocessing: the key 'size' is missing")
    return dict(content)
