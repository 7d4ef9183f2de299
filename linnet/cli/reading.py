"""DATA and the settings of reading behind it, as commands take them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from linnet.errors import RecipeError

__all__ = ["read_reading"]


def read_reading(arguments: Sequence[str]) -> tuple[str | None, dict[str, Any]]:
    """DATA, None where there is none, and keywords for `datasets.load_data` from KEY=VALUE.

    Raises:
        RecipeError: more than one DATA, or a setting that is not one of reading.
    """
    from linnet.recipes.model import READING
    from linnet.recipes.overrides import parse_overrides

    data = [each for each in arguments if "=" not in each or each.startswith(("/", "."))]
    settings = [each for each in arguments if each not in data]
    stray = sorted({each.partition("=")[0] for each in settings} - set(READING))
    if stray:
        raise RecipeError(f"{', '.join(stray)}: only settings of reading are taken: {', '.join(READING)}")
    if len(data) > 1:
        raise RecipeError(f"{', '.join(data)}: give one DATA; several are indexed one after another, with --add")
    return (data[0] if data else None), parse_overrides(settings)
