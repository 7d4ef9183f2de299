"""Vectors with clusters that are known."""

from __future__ import annotations

import numpy as np

from linnet.discover import Subjects
from linnet.randomness import generator


def planted(fine: tuple[int, ...] = (4, 2), images: int = 30, spread: float = 0.5, seed: int = 0) -> Subjects:
    """`fine[c]` clusters under coarse class c, `images` each, about directions in 16 dimensions."""
    draw = generator(seed, "planted")
    vectors, coarse, labels = [], [], []
    for c, count in enumerate(fine):
        for _ in range(count):
            vectors.append(draw.standard_normal(16) + spread * draw.standard_normal((images, 16)))
            coarse += [c] * images
            labels += [sum(fine[:c]) + len(vectors) - 1 - sum(fine[:c])] * images
    return Subjects.of(np.concatenate(vectors).astype(np.float32), np.array(coarse), fine=np.array(labels))
