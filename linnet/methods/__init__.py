"""The systems, one file each. A new method is its file, its test, and a line in `METHODS`."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import cast

from linnet.errors import RecipeError, SupervisionError, nearest
from linnet.methods.base import Method, Need

__all__ = ["METHODS", "allowed_methods", "check_supervision", "method_class"]

METHODS = {
    "coarse": "linnet.methods.supervised:Coarse",
    "fine": "linnet.methods.supervised:Fine",
    "instance": "linnet.methods.coins:Instance",
    "coins": "linnet.methods.coins:Coins",
    "min-pool": "linnet.methods.min_pool:MinPool",
    "any-level": "linnet.methods.any_level:AnyLevel",
    "coarse-constraint": "linnet.methods.coarse_constraint:CoarseConstraint",
    "orthogonal-ensemble": "linnet.methods.orthogonal_ensemble:OrthogonalEnsemble",
    "distil": "linnet.methods.distil:Distil",
    "bigspn": "linnet.methods.bigspn:BigSpn",
    "transfer": "linnet.methods.transfer:Transfer",
    "cos-softmax": "linnet.methods.cos_softmax:CosSoftmax",
    "vse": "linnet.methods.vse:Vse",
    "spaen": "linnet.methods.spaen:Spaen",
    "gcnz": "linnet.methods.gcnz:Gcnz",
    "fgn": "linnet.methods.fgn:Fgn",
    "ridge": "linnet.methods.ridge:Ridge",
}


def method_class(name: str) -> type[Method]:
    """The class of a method.

    Raises:
        RecipeError: no such method; names the nearest.
    """
    if name not in METHODS:
        raise RecipeError(f"method: {name!r} is not one of {', '.join(METHODS)}{nearest(name, METHODS)}")
    module, attribute = METHODS[name].split(":")
    return cast(type[Method], getattr(import_module(module), attribute))


def allowed_methods(available: Iterable[Need]) -> list[str]:
    """The methods that the given supervision allows, in the table's order."""
    have = frozenset(available)
    return [name for name in METHODS if method_class(name).needs <= have]


def check_supervision(name: str, available: Iterable[Need], source: str, blanks: str = "") -> None:
    """Refuse a method whose labels are not there; `blanks` names rows without them, when some have them.

    Raises:
        SupervisionError: says what is missing in `source` and which methods its labels allow.
    """
    have = frozenset(available)
    missing = method_class(name).needs - have
    if missing:
        lacking = " and ".join(sorted(need.value for need in missing))
        raise SupervisionError(
            f"method {name!r} needs {lacking}, which {source} does not have; "
            f"its labels allow: {', '.join(allowed_methods(have))}{blanks}"
        )
