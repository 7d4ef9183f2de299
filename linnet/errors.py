"""The errors a user can cause, each saying what was given, what is allowed, where, and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = [
    "DataError",
    "ImageError",
    "LinnetError",
    "ManifestError",
    "NonFiniteError",
    "RecipeError",
    "RunError",
    "SupervisionError",
    "TaxonomyError",
    "nearest",
]


class LinnetError(Exception):
    """Base of every error that a user's input can cause; the command line shows its text without a traceback."""


class TaxonomyError(LinnetError):
    """The class hierarchy is not a hierarchy: two parents, a cycle, a skipped level, an unknown class."""


class ManifestError(LinnetError):
    """A table or folder of images cannot be read as a manifest."""


class DataError(LinnetError):
    """A public data set is absent, incomplete, or not the official one."""


class ImageError(LinnetError):
    """Images that cannot be decoded."""


class RecipeError(LinnetError):
    """A setting is unknown or has a value that is not allowed."""


class SupervisionError(LinnetError):
    """The labels at hand do not allow the method that was asked for."""


class RunError(LinnetError):
    """A run folder, checkpoint or bundle is missing, damaged, or belongs to something else."""


class NonFiniteError(LinnetError):
    """A loss or gradient is not finite; training stopped before the step."""


def nearest(given: str, allowed: Iterable[str]) -> str:
    """Return '; did you mean X?' for the allowed name closest to `given`, or '' when none is close."""
    close = get_close_matches(given, list(allowed), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
