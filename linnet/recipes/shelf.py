"""The recipes that ship with Linnet, and recipes as TOML text.

A file is a row of a table. What the table has in several columns (other nets, other shares of labels) are the file's
variants: `[variants.NAME]` holds the settings that differ, and 'folder/row/NAME' is the recipe.
"""

from __future__ import annotations

import json
import re
import tomllib
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from linnet.errors import RecipeError, nearest
from linnet.recipes.model import Recipe

__all__ = ["from_toml", "list_recipes", "load_recipe", "to_toml"]

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


@cache
def _shelf() -> dict[str, dict[str, Any]]:
    """The settings of every shipped recipe by name, sorted."""
    found: dict[str, dict[str, Any]] = {}
    for folder in files("linnet.recipes").iterdir():
        for file in folder.iterdir() if folder.is_dir() else ():
            if file.name.endswith(".toml"):
                name = f"{folder.name}/{file.name.removesuffix('.toml')}"
                found |= _variants(file.read_text(encoding="utf-8"), name, f"recipe {name}")
    return dict(sorted(found.items()))


def list_recipes() -> list[str]:
    """Names of the shipped recipes, such as 'cifar100/coins' or 'cub/coarse-constraint/vgg19', sorted."""
    return list(_shelf())


def load_recipe(name: str) -> Recipe:
    """A shipped recipe by name, or one's own by the path of its .toml file, '/' and a variant's name behind it or not.

    Raises:
        RecipeError: no such recipe or variant (with the nearest name), no TOML, or a setting that is not allowed.
    """
    path, toml, variant = name.rpartition(".toml")
    if toml and (not variant or variant.startswith("/")):
        try:
            text = Path(path + toml).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"{path + toml}: cannot be read ({error})") from None
        return from_toml(text, path + toml, variant[1:])
    shelf = _shelf()
    if name not in shelf:
        beside = [each for each in shelf if each.partition("/")[0] == name.partition("/")[0]]
        folders = dict.fromkeys(each.partition("/")[0] + "/..." for each in shelf)
        near = nearest(name, shelf) or f"; there are {', '.join(beside or folders)}"
        raise RecipeError(f"no recipe {name!r}{near} (`linnet recipes` shows them all; a file's name ends in .toml)")
    return Recipe.read(shelf[name], f"recipe {name}")


def from_toml(text: str, where: str = "recipe", variant: str = "") -> Recipe:
    """Read a recipe, or a variant of it, from TOML text; `where` opens every message.

    Raises:
        RecipeError: no TOML (with line and column), no such variant, or a setting that is not allowed.
    """
    found = _variants(text, where, where)
    name = f"{where}/{variant}" if variant else where
    if name not in found:
        there = ", ".join(each.removeprefix(f"{where}/") for each in list(found)[1:]) or "none"
        raise RecipeError(f"{where}: no variant {variant!r}{nearest(name, found)}; variants there: {there}")
    return Recipe.read(found[name], name)


def _variants(text: str, name: str, where: str) -> dict[str, dict[str, Any]]:
    """The settings of a file and of its variants, by name: a variant changes some settings, some of its options."""
    try:
        base = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{where}: not TOML: {error}") from None
    variants = base.pop("variants", {})
    if not isinstance(variants, dict) or not all(isinstance(each, dict) for each in variants.values()):
        raise RecipeError(f"{where}: variants is no table of tables; write [variants.NAME], then what differs")
    found = {name: base}
    for variant, changes in variants.items():
        # The paper's figures are of one column of its table: a variant has its own or none.
        settings = {**base, "published": {}, **changes}
        options = [each.get("options", {}) for each in (base, changes)]
        if settings.get("method") == base.get("method") and all(isinstance(each, dict) for each in options):
            settings["options"] = {**options[0], **options[1]}
        found[f"{name}/{variant}"] = settings
    return found


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
