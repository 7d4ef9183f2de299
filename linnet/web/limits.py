"""How much the server takes at once; what is above is refused, and says so."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True)
class Limits:
    """Bounds of the server.

    Attributes:
        upload_bytes: the largest picture.
        pixels: the most pixels of a picture, as its header tells them.
        batch: pictures that the net sees at once.
        wait: seconds that a picture waits for others to be seen with.
        uploads: requests with a picture that are in work at once, from their first byte to the answer.
        explanations: maps that are waited for at once; each takes a pass forward and back.
        upload_seconds: how long a picture may take to come in.
        thumbnail_bytes: memory for small pictures of the collection.
        undo: steps of the discovery desk that can be taken back.
    """

    upload_bytes: int = 20 * 2**20
    pixels: int = 64_000_000
    batch: int = 16
    wait: float = 0.004
    uploads: int = 64
    explanations: int = 16
    upload_seconds: float = 60.0
    thumbnail_bytes: int = 64 * 2**20
    undo: int = 100
