"""A bundle's classes and preprocessing as JSON that says what it means, for programs without Linnet."""

from __future__ import annotations

from typing import Any

from linnet.images import Preprocessing
from linnet.training.bundle import Bundle

__all__ = ["classes_of", "preprocessing_of"]


def classes_of(bundle: Bundle) -> dict[str, Any]:
    """The content of classes.json: levels, each class's name and parent, and which level each output is of."""
    taxonomy = bundle.taxonomy
    names = taxonomy.levels
    return {
        "levels": [
            {
                "name": name,
                "classes": list(taxonomy.classes[level]),
                "parents": list(taxonomy.parents[level]) if level else None,
            }
            for level, name in enumerate(names)
        ],
        "coarse_logits": names[bundle.coarse],
        "fine_logits": names[bundle.fine],
        "parents": "for each class the place of its parent among the classes of the level before",
    }


def preprocessing_of(preprocessing: Preprocessing, *, inside: bool = False) -> dict[str, Any]:
    """What is done to an image, in order; `inside` tells that the graph normalises."""
    size = preprocessing.size
    return {
        **preprocessing.to_json(),
        "steps": [
            "decode to 8-bit RGB, upright (EXIF orientation applied)",
            f"scale the shorter side to {preprocessing.short_side} pixels, {preprocessing.interpolation}, antialiased",
            f"cut the centre {size} x {size}",
            "(pixel / 255 - mean) / std, by channel" + (": done by the graph" if inside else ""),
        ],
    }
