"""The recipes that ship with Linnet, and recipes as TOML text."""

from __future__ import annotations

import json
import re
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

from linnet.errors import RecipeError, nearest
from linnet.recipes.model import Recipe

__all__ = ["from_toml", "list_recipes", "load_recipe", "to_toml"]

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def list_recipes() -> list[str]:
    """Names of the shipped recipes, such as 'cifar100/coins', sorted."""
    shelf = files("linnet.recipes")
    return sorted(
        f"{folder.name}/{file.name.removesuffix('.toml')}"
        for folder in shelf.iterdir()
        if folder.is_dir()
        for file in folder.iterdir()
        if file.name.endswith(".toml")
    )


def load_recipe(name: str) -> Recipe:
    """A shipped recipe by name ('cifar100/coins'), or a recipe of one's own by the path of its .toml file.

    Raises:
        RecipeError: no such recipe (with the nearest name), no TOML, or a setting that is not allowed.
    """
    if name.endswith(".toml"):
        try:
            text = Path(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"{name}: cannot be read ({error})") from None
        return from_toml(text, name)
    names = list_recipes()
    if name not in names:
        near = nearest(name, names) or f"; there are {', '.join(names)}"
        raise RecipeError(f"no recipe {name!r}{near} (`linnet recipes` shows them all; a file's name ends in .toml)")
    folder, file = name.split("/")
    return from_toml((files("linnet.recipes") / folder / f"{file}.toml").read_text(encoding="utf-8"), f"recipe {name}")


def from_toml(text: str, where: str = "recipe") -> Recipe:
    """Read a recipe from TOML text; `where` opens every message.

    Raises:
        RecipeError: no TOML (with line and column), or a setting that is not allowed.
    """
    try:
        settings = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{where}: not TOML: {error}") from None
    return Recipe.read(settings, where)


def to_toml(recipe: Recipe, explain: bool = False) -> str:
    """A recipe as TOML text with every setting; `explain` adds what each means.

    What is none is left out, as TOML has no word for it, or with `explain` stands as a comment.
    """
    settings = recipe.model_dump()
    tables = {key: settings.pop(key) for key in ("options", "published")}
    lines = []
    for key, value in settings.items():
        text = f"# {key} = none" if value is None else f"{key} = {_value(value)}"
        if explain and len(text) < 80:
            lines.append(f"{text:<36}  # {Recipe.model_fields[key].description}")
        elif explain or value is not None:
            lines.append(text)
    for key, table in tables.items():
        if table:
            lines += ["", f"[{key}]"]
            lines += [f"{_key(name)} = {_value(value)}" for name, value in table.items() if value is not None]
    return "\n".join(lines) + "\n"


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _value(name)


def _value(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(item) for item in value)}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{_key(key)} = {_value(each)}' for key, each in value.items())} }}"
    return repr(value)
