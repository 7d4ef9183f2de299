"""What a setting allows, in words, and pydantic's complaints in the words of a RecipeError."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from linnet.errors import RecipeError, nearest

__all__ = ["allowed", "keys", "show", "translate"]

_KINDS = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "string": "a text",
    "object": "a table of names and values",
    "null": "none",
}
_BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
}


def keys(model: type[BaseModel]) -> dict[str, str]:
    """What a user calls a model's fields (the alias where there is one, such as `lambda`), to field names."""
    return {field.alias or name: name for name, field in model.model_fields.items()}


def show(value: object) -> str:
    """A value as it looks in TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "none"
    if isinstance(value, tuple | list):
        return f"[{', '.join(show(item) for item in value)}]"
    return repr(value)


def allowed(model: type[BaseModel], key: str) -> str:
    """What the field that a user calls `key` accepts, in words, such as 'a number above 0'."""
    schema = model.model_json_schema(by_alias=True)
    field = schema["properties"].get(key)
    return "anything" if field is None else _words(field, schema.get("$defs", {}))


def _words(schema: Mapping[str, Any], named: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return _words(named[schema["$ref"].rsplit("/", 1)[-1]], named)
    if "anyOf" in schema:
        return "; or ".join(_words(each, named) for each in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        return ("one of " if len(values) > 1 else "only ") + ", ".join(show(value) for value in values)
    if schema.get("type") == "array":
        return _array(schema, named)
    bounds = [f"{word} {schema[bound]:g}" for bound, word in _BOUNDS.items() if bound in schema]
    return " ".join([_KINDS.get(schema.get("type", ""), "anything"), " and ".join(bounds)]).strip()


def _array(schema: Mapping[str, Any], named: Mapping[str, Any]) -> str:
    fixed = schema.get("prefixItems")
    item = _words(fixed[0] if fixed else schema.get("items", {}), named)
    if fixed:
        return f"a list of {len(fixed)}, each {item}"
    return f"a list, each {item}" + (" (not empty)" if schema.get("minItems") else "")


def translate(error: ValidationError, model: type[BaseModel], where: str) -> RecipeError:
    """One RecipeError for all complaints of a failed validation, a line each; `where` opens every line."""
    lines = []
    for each in error.errors(include_url=False):
        key = str(each["loc"][0]) if each["loc"] else ""
        whole = len(each["loc"]) == 1
        if each["type"] == "extra_forbidden" and whole:
            near = nearest(key, keys(model)) or f"; allowed are {', '.join(sorted(keys(model))) or 'none'}"
            lines.append(f"unknown setting {key!r}{near}")
        elif each["type"] == "missing" and whole:
            lines.append(f"{key} is missing; allowed is {allowed(model, key)}")
        elif key:
            verb = "=" if whole else "has"
            lines.append(f"{key} {verb} {show(each['input'])}; allowed is {allowed(model, key)}")
        else:
            lines.append(each["msg"].removeprefix("Value error, "))
    return RecipeError("\n".join(f"{where}: {line}" for line in dict.fromkeys(lines)))
