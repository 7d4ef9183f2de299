"""Packages that are not installed with Linnet itself, imported when they are needed."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

from linnet.errors import RunError

__all__ = ["need", "version_of"]


def need(package: str, extra: str) -> ModuleType:
    """The imported package.

    Raises:
        RunError: it is not installed; names the extra that brings it.
    """
    try:
        return import_module(package)
    except ImportError as error:
        raise RunError(f'{package} is not installed ({error}): pip install "linnet[{extra}]"') from None


def version_of(package: str) -> str:
    """The installed version; "none" where there is none."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"
