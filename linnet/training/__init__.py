"""The loop, its schedules, checkpoints and the run folder."""

from __future__ import annotations

__all__: list[str] = []
