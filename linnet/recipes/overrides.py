"""`key=value` settings from the command line, typed by the recipe and by the method's own options."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from linnet.errors import RecipeError, nearest
from linnet.recipes.messages import allowed, keys, show, translate
from linnet.recipes.model import FREE, PROVENANCE, READING, Recipe
from linnet.recipes.shelf import load_recipe

__all__ = ["check_options", "method_options", "parse_overrides", "resolve"]

_SHORT_NUMBER = re.compile(r"[+-]?(\.\d+|\d+\.)([eE][+-]?\d+)?")  # .5 and 5. are no TOML, but are typed all the same


def method_options(method: str) -> type[BaseModel]:
    """The pydantic model of a method's own settings; loads the method, and torch with it.

    Raises:
        RecipeError: there is no such method.
    """
    from linnet.methods import method_class

    options: type[BaseModel] = method_class(method).Options
    return options


def check_options(recipe: Recipe, where: str = "recipe") -> Recipe:
    """The recipe with the method's options checked and filled up with their defaults.

    Raises:
        RecipeError: no such method, no such option of it, or a value that is not allowed.
    """
    model = method_options(recipe.method)
    try:
        options = model.model_validate(recipe.options)
    except ValidationError as error:
        raise translate(error, model, f"{where}: options of method {recipe.method!r}") from None
    return recipe.model_copy(update={"options": options.model_dump(by_alias=True)})


def resolve(
    name: str | Recipe | None = None, overrides: Sequence[str] | Mapping[str, Any] = (), **fixed: Any
) -> Recipe:
    """A recipe by name (none = the defaults), or one at hand, with settings changed, complete and checked.

    `overrides` are texts such as 'lr=0.05', or a mapping of keys to Python values, as `fixed` is. A change of
    method drops the recipe's options and published figures, which belong to the old one; a change of data
    drops the published figures too. A named recipe with any setting changed that decides the outcome is no longer
    that recipe: its scale becomes "own", its published figures go, and its note says what was changed. What is
    `FREE` may change, and data may be given where the recipe has none.

    Raises:
        RecipeError: an unknown recipe, key, method or option, or a value that is not allowed.
    """
    shelved = load_recipe(name) if isinstance(name, str) else None
    base = shelved or (name if isinstance(name, Recipe) else Recipe())
    where = f"recipe {name}" if shelved else "settings"
    changes = _place(overrides, base) if isinstance(overrides, Mapping) else parse_overrides(overrides, base)
    changes |= fixed
    if changes.get("method", base.method) != base.method:
        base = base.model_copy(update={"options": {}, "published": {}, "row": "", "note": ""})
    if base.data and changes.get("data", base.data) != base.data:
        base = base.model_copy(update={"dataset": "", "published": {}, "note": ""})
    options = {**base.options, **changes.get("options", {})}
    recipe = check_options(Recipe.read({**base.model_dump(), **changes, "options": options}, where), where)
    told = _changes(shelved, recipe) if shelved else []
    if not told:
        return recipe
    note = "; ".join(filter(None, [recipe.note, f"changed from {name}: {', '.join(told)}"]))
    return recipe.model_copy(update={"scale": "own", "published": {}, "note": note})


def _changes(old: Recipe, new: Recipe) -> list[str]:
    """The settings, as key=value, that decide the outcome and are not the recipe's own."""
    free = {*FREE, *PROVENANCE, "options", *(() if old.data else ("data", *READING))}
    if new.road == "cache" and new.augment in ("resized-crop", "window"):
        free.remove("road")  # its crops are softer
    told = [
        f"{key}={_told(value)}"
        for key, value in new.model_dump().items()
        if key not in free and value != getattr(old, key)
    ]
    # Another method is measured against its own defaults.
    same = old.method == new.method
    before = check_options(old.model_copy(update={"method": new.method, "options": old.options if same else {}}))
    return told + [f"{key}={_told(value)}" for key, value in new.options.items() if value != before.options.get(key)]


def _told(value: object) -> str:
    return value if isinstance(value, str) else show(value)


def parse_overrides(items: Sequence[str], base: Recipe | None = None) -> dict[str, Any]:
    """Read texts such as 'lr=0.05', 'options.lambda=.2', 'lambda=.2' into recipe settings.

    Values are TOML, and also: bare strings, '.5', 'none', and 'a,b,c' where a list is wanted. A bare key that
    is an option of the method (the one among `items`, else `base`'s) goes to `options`. A later item replaces
    an earlier one.

    Raises:
        RecipeError: no '=', an unknown key (with the nearest name), or a value that is not allowed.
    """
    base = base if base is not None else Recipe()
    pairs: dict[str, str] = {}
    for item in items:
        key, equals, text = item.partition("=")
        if not equals or not key.strip():
            raise RecipeError(f"{item!r} is no setting; write key=value, such as lr=0.05")
        pairs[key.strip()] = text.strip()
    found: dict[str, Any] = {}
    method = _typed(Recipe, "method", pairs["method"], "method") if "method" in pairs else base.method
    for key, text in pairs.items():
        model, name = _owner(key, method)
        value = _typed(model, name, text, key)
        if model is Recipe and name == "options":
            found.setdefault("options", {}).update(value)
        elif model is Recipe:
            found[name] = value
        else:
            found.setdefault("options", {})[name] = value
    return found


def _place(settings: Mapping[str, Any], base: Recipe) -> dict[str, Any]:
    """Sort Python settings into recipe fields and method options; the models check the values later."""
    method = str(settings.get("method", base.method))
    found: dict[str, Any] = {"options": dict(settings.get("options", {}))}
    for key, value in settings.items():
        model, name = _owner(key, method)
        if model is not Recipe:
            found["options"][name] = value
        elif name != "options":
            found[name] = value
    return found


def _owner(key: str, method: str) -> tuple[type[BaseModel], str]:
    """The model that a key belongs to, and its name there; recipe fields win over options of that name."""
    head, _, rest = key.partition(".")
    if key in Recipe.model_fields:
        return Recipe, key
    options = method_options(method)
    name = rest if head == "options" else key
    aliases = {field: alias for alias, field in keys(options).items()}
    if name in keys(options) or name in aliases:
        return options, aliases.get(name, name)
    own = {**dict.fromkeys(Recipe.model_fields), **dict.fromkeys(keys(options))}
    near = nearest(name, keys(options) if head == "options" else own)
    listed = f"; options of method {method!r} are {', '.join(sorted(keys(options))) or 'none'}"
    raise RecipeError(f"unknown setting {key!r}{near or listed} (`linnet train --dry-run` prints all)")


def _typed(model: type[BaseModel], name: str, text: str, key: str) -> Any:
    """The first reading of `text` that the field accepts, from the most specific to the plain string."""
    for reading in _readings(text):
        if _accepts(model, name, reading):
            return reading
    raise RecipeError(f"{key}={text}; allowed is {allowed(model, name)}")


def _accepts(model: type[BaseModel], name: str, value: object) -> bool:
    try:
        model.model_validate({name: value})
    except ValidationError as error:
        return all(each["loc"][:1] != (name,) for each in error.errors())
    return True


def _readings(text: str) -> list[Any]:
    found: list[Any] = []
    if text.lower() in {"none", "null"}:
        found.append(None)
    if text in {"True", "False"}:
        found.append(text == "True")
    if _SHORT_NUMBER.fullmatch(text):
        found.append(float(text))
    for guess in (text, f"[{text}]"):
        try:
            table = tomllib.loads(f"value = {guess}")
        except tomllib.TOMLDecodeError:
            continue
        if set(table) == {"value"}:
            found.append(table["value"])
    return [*found, text, [part.strip() for part in text.split(",") if part.strip()]]
