"""Pure functions and heads, one idea a file, each with its equation."""

from __future__ import annotations

__all__: list[str] = []
