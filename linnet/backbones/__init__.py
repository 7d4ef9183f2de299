"""Networks that turn images into feature maps; `build_backbone` makes one by its name."""

from __future__ import annotations

from linnet.backbones.base import Backbone
from linnet.backbones.build import InputDefaults, build_backbone, default_preprocessing, set_dropout

__all__ = ["Backbone", "InputDefaults", "build_backbone", "default_preprocessing", "set_dropout"]
