"""What runs were made with: every setting, those that were changed first, and the machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from linnet.methods import method_class
from linnet.recipes import Recipe
from linnet.recipes.model import PROVENANCE
from linnet.report.results import told_command
from linnet.report.series import Series

__all__ = ["Environment", "Setting", "duration", "environments", "settings_of"]

_RUNNING = ("seed", "root", "threads", "workers", "device")
_LONGEST = 160


@dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes:
        name: as `key=value` takes it.
        about: what it decides.
        usual: its default.
        values: one for each series.
        changed: whether a series has another value than the default; `differs`: whether series differ in it.
    """

    name: str
    about: str
    usual: str
    values: tuple[str, ...]
    changed: bool
    differs: bool


@dataclass(frozen=True)
class Environment:
    """Where a run was trained: what its row in a table is called, and pairs of what and how."""

    name: str
    facts: tuple[tuple[str, str], ...]


def settings_of(series: Sequence[Series]) -> list[Setting]:
    """All settings of some series: those in which they differ, then changed ones, then the rest, as recipes order them.

    A method's own settings stand among them. Seeds, and where a run was made, are told elsewhere.
    """
    found: dict[str, tuple[str, str, list[str]]] = {}
    for place, each in enumerate(series):
        for name, about, usual, value in _told(each.recipe):
            _, _, values = found.setdefault(name, (about, usual, ["-"] * len(series)))
            values[place] = value
    settings = [
        Setting(
            name,
            about,
            usual,
            tuple(values),
            any(value not in (usual, "-") for value in values),
            len(set(values)) > 1,
        )
        for name, (about, usual, values) in found.items()
    ]
    return sorted(settings, key=lambda each: (not each.differs, not each.changed))


def _told(recipe: Recipe) -> list[tuple[str, str, str, str]]:
    """Name, meaning, default and value of each setting."""
    told = []
    for name, field in Recipe.model_fields.items():
        if name in (*PROVENANCE, *_RUNNING):
            continue
        if name == "options":
            told += _options(recipe)
            continue
        value = getattr(recipe, name)
        told.append((name, field.description or "", _text(field.default), _text(value)))
    return told


def _options(recipe: Recipe) -> list[tuple[str, str, str, str]]:
    options = method_class(recipe.method).Options
    chosen, told = options.model_validate(recipe.options), []
    for name, field in options.model_fields.items():
        usual = "required" if field.is_required() else _text(field.get_default(call_default_factory=True))
        about = f"{recipe.method}: {field.description or ''}".rstrip(": ")
        told.append((field.alias or name, about, usual, _text(getattr(chosen, name))))
    return told


def _text(value: Any) -> str:
    """A value as a command line takes it, cut where it is long."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple | list):
        text = ", ".join(map(_text, value)) or "none"
    else:
        text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + " ..."


def environments(series: Sequence[Series]) -> list[Environment]:
    """Machine, versions and time of each run."""
    return [
        Environment(measured.name, tuple(_facts(measured.run.summary, measured.run.recipe)))
        for each in series
        for measured in each.runs
    ]


def _facts(summary: dict[str, Any], recipe: Recipe) -> list[tuple[str, str]]:
    versions = ", ".join(f"{name} {number}" for name, number in summary.get("versions", {}).items())
    facts = {
        "command": told_command(str(summary.get("command", ""))),
        "seed": str(recipe.seed),
        "machine": str(summary.get("machine", "")),
        "processes": str(summary.get("processes", "")),
        "arithmetic": str(summary.get("precision", "")),
        "training took": duration(float(summary.get("seconds", 0))),
        "versions": versions,
        "data, SHA-256": str(summary.get("data", "")),
    }
    return [(name, text) for name, text in facts.items() if text]


def duration(seconds: float) -> str:
    """Seconds, minutes or hours, as suits."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
