"""What a finished run says of new images: classes at every level, calibrated probabilities, and when to back off."""

from __future__ import annotations

from linnet.predict.answers import Answered, Failed, LevelAnswer
from linnet.predict.predictor import Predictor

__all__ = ["Answered", "Failed", "LevelAnswer", "Predictor"]
