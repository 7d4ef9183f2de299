"""What runs a bundle's method on batches of images: torch, torch.compile, OpenVINO; all with the same answers."""

from __future__ import annotations

from linnet.engines.base import Engine
from linnet.engines.choose import ENGINES, open_engine

__all__ = ["ENGINES", "Engine", "open_engine"]
