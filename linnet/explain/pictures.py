"""What runs make of images: maps at the size of pictures beside what is said of each; figures and pages show it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from linnet.explain.inputs import Inputs, squares
from linnet.explain.maps import Answer, Wanted, maps_of
from linnet.explain.scores import Levels, readable
from linnet.images.augment import normalise
from linnet.training.bundle import Bundle

__all__ = ["Column", "View", "look"]

_SHOWN = 224
"""Least side, pixels, of the pictures."""


@dataclass(frozen=True)
class Column:
    """One map of each of n images.

    Attributes:
        name: whose map, "member 1" say, or of which level's class.
        heat: float32 (n, S, S) in 0..1, each map over its own maximum, at the pictures' size.
        of: for each image the class that the map is of; None of a map of no class.
        peaks: for each image the map's largest value, which its heat is over.
    """

    name: str
    heat: NDArray[np.float32]
    of: list[Answer | None]
    peaks: list[float]

    def told(self, place: int) -> list[str]:
        """What stands below an image's map: class and probability, or how strong the map gets, and if it is empty."""
        answer, peak = self.of[place], self.peaks[place]
        lines = [answer.name, f"{100 * answer.probability:.0f} %"] if answer else []
        if peak <= 0:
            return [*lines[:1], " ".join([*lines[1:], "(no place speaks for it)" if answer else "(0 everywhere)"])]
        return lines or [f"up to {peak:.2g}"]


@dataclass(frozen=True)
class View:
    """What one run makes of n images.

    Attributes:
        name: what to call the run.
        pixels: uint8 (n, S, S, 3), the part of each image that the net sees.
        columns: its maps.
        answers: for each image its answer at every level, coarsest first.
        notes: what a reader must know of the maps.
    """

    name: str
    pixels: NDArray[np.uint8]
    columns: list[Column]
    answers: list[list[Answer]]
    notes: list[str] = field(default_factory=list)


def look(name: str, bundle: Bundle, inputs: Inputs, wanted: Wanted, *, batch_size: int = 16) -> View:
    """The maps of a bundle's method over images, where its weights lie.

    Raises:
        ImageError: files that cannot be decoded; names every one.
        RunError, TaxonomyError: as `maps_of`.
    """
    levels, method = Levels.of(bundle), bundle.method.eval()
    device, parts = next(method.parameters()).device, []
    pixels = squares(inputs.images, bundle.preprocessing)
    for start in range(0, len(pixels), batch_size):
        chunk = torch.from_numpy(pixels[start : start + batch_size]).permute(0, 3, 1, 2)
        parts.append(maps_of(method, levels, normalise(chunk, bundle.preprocessing).to(device), wanted))
    shown = squares(inputs.images, bundle.preprocessing, _SHOWN)
    columns, notes = [], []
    for key in parts[0].maps:
        maps = torch.cat([part.maps[key].cpu() for part in parts])
        of, peaks = [each for part in parts for each in part.of[key]], maps.amax((1, 2)).tolist()
        columns.append(Column(key, _enlarged(maps, shown.shape[1]), of, peaks))
        if maps.shape[1:].numel() == 1:
            notes.append(f"{name}, {key}: the net's last feature map has a single place, so there is nothing to see")
    answers = [row for part in parts for row in part.answers]
    judged = [_judged(row, truth, levels) for row, truth in zip(answers, inputs.truths, strict=True)]
    return View(name, shown, columns, judged, notes)


def _enlarged(maps: Tensor, side: int) -> NDArray[np.float32]:
    """Maps (n, H, W), at least 0, enlarged smoothly to (n, side, side), each over its own maximum."""
    whole = maps.float()[:, None]
    larger = functional.interpolate(whole, (side, side), mode="bicubic", align_corners=False)[:, 0].clamp(min=0)
    most = larger.amax((1, 2), keepdim=True)
    found: NDArray[np.float32] = (larger / torch.where(most > 0, most, 1.0)).numpy()
    return found


def _judged(answers: list[Answer], truth: dict[int, str], levels: Levels) -> list[Answer]:
    """The answers, and whether each is right where that is known."""
    known = {levels.taxonomy.levels[level]: readable(name) for level, name in truth.items()}
    return [replace(each, right=each.name == known[each.level] if each.level in known else None) for each in answers]
