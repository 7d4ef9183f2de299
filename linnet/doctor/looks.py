"""How an image looks, in 304 bytes: 16 x 16 greys, 4 x 4 colours. Codes of 64 bits find copies, looks compare them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["LOOK", "SIDE", "alike", "codes", "flat", "looks_of", "small_of"]

SIDE, _COARSE = 16, 4
_GREY = SIDE * SIDE
LOOK = _GREY + 3 * _COARSE * _COARSE
"""Bytes of a look."""

_LIGHT = np.array([0.299, 0.587, 0.114], np.float32)
_LEAST_CONTRAST = 3.0
"""Standard deviation of greys, of 255, below which an image shows too little to be compared."""
_LEAST_CORRELATION = 0.985
_MOST_COLOUR = 6.0
"""Mean difference of colours, of 255, brightness aside, that two copies may have."""
_BLOCK = 4096
"""Looks that are worked on at once: a copy of all of them, in float, would be the most memory that a check takes."""

Looks = NDArray[np.uint8]
Rows = NDArray[np.int64]


def small_of(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Block means of a whole image (H, W, 3), its aspect ratio aside, uint8 (SIDE, SIDE, 3)."""
    return np.asarray(Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BOX))


def looks_of(small: NDArray[np.uint8]) -> Looks:
    """The looks of images, uint8 (n, LOOK), from what `small_of` makes of each, (n, SIDE, SIDE, 3)."""
    values, step = small.astype(np.float32), SIDE // _COARSE
    colours = values.reshape(-1, _COARSE, step, _COARSE, step, 3).mean((2, 4))
    parts = (values @ _LIGHT).reshape(-1, _GREY), colours.reshape(-1, LOOK - _GREY)
    looks: Looks = np.rint(np.concatenate(parts, axis=1)).astype(np.uint8)
    return looks


def flat(looks: Looks, rows: Rows) -> NDArray[np.bool_]:
    """Which of the rows (n,) of looks (N, LOOK) show hardly anything: one even tone."""
    found = np.zeros(len(rows), np.bool_)
    for at in range(0, len(rows), _BLOCK):
        found[at : at + _BLOCK] = _greys(looks, rows[at : at + _BLOCK]).std(1) < _LEAST_CONTRAST
    return found


def codes(looks: Looks, rows: Rows) -> NDArray[np.uint64]:
    """A code of 64 bits for each of the rows (n,) of looks (N, LOOK), uint64 (n,): copies differ in few of its bits.

    The signs, about their median, of the 64 lowest frequencies of the greys' cosine transform, the mean aside.
    """
    frequency = np.arange(SIDE)
    basis = np.cos(np.pi * (frequency[None, :] + 0.5) * frequency[:, None] / SIDE).astype(np.float32)
    order = sorted(((u, v) for u in frequency for v in frequency), key=lambda at: (sum(at), at))[1:65]
    down, across = np.array(order).T
    found = np.zeros(len(rows), np.uint64)
    for at in range(0, len(rows), _BLOCK):
        greys = _greys(looks, rows[at : at + _BLOCK]).reshape(-1, SIDE, SIDE)
        waves = (basis @ greys @ basis.T)[:, down, across]
        bits = waves > np.median(waves, axis=1, keepdims=True)
        found[at : at + _BLOCK] = np.ascontiguousarray(np.packbits(bits, axis=1)).view(">u8").ravel()
    return found


def alike(looks: Looks, ones: Rows, others: Rows) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Whether looks (N, LOOK) are of one image, for pairs of rows (m,), and the correlation of their greys (m,).

    Brightness and contrast may differ; colours, less their grey, must agree.
    """
    same, likeness = np.zeros(len(ones), np.bool_), np.zeros(len(ones), np.float32)
    for at in range(0, len(ones), _BLOCK):
        one, other, here = ones[at : at + _BLOCK], others[at : at + _BLOCK], slice(at, at + _BLOCK)
        likeness[here] = (_standard(looks, one) * _standard(looks, other)).mean(1)
        colour = np.abs(_hues(looks, one) - _hues(looks, other)).mean((1, 2))
        same[here] = (likeness[here] >= _LEAST_CORRELATION) & (colour <= _MOST_COLOUR)
    return same, likeness


def _greys(looks: Looks, rows: Rows) -> NDArray[np.float32]:
    greys: NDArray[np.float32] = looks[rows, :_GREY].astype(np.float32)
    return greys


def _standard(looks: Looks, rows: Rows) -> NDArray[np.float32]:
    greys = _greys(looks, rows)
    greys -= greys.mean(1, keepdims=True)
    standard: NDArray[np.float32] = greys / np.maximum(greys.std(1, keepdims=True), 1e-6)
    return standard


def _hues(looks: Looks, rows: Rows) -> NDArray[np.float32]:
    colour = looks[rows, _GREY:].reshape(len(rows), -1, 3).astype(np.float32)
    hues: NDArray[np.float32] = colour - colour.mean(2, keepdims=True)
    return hues
