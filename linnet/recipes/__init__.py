"""Recipes: the settings of an experiment as TOML, with the figure of the paper's row that it replicates."""

from __future__ import annotations

from linnet.recipes.model import Recipe
from linnet.recipes.overrides import check_options, method_options, parse_overrides, resolve
from linnet.recipes.shelf import from_toml, list_recipes, load_recipe, to_toml

__all__ = [
    "Recipe",
    "check_options",
    "from_toml",
    "list_recipes",
    "load_recipe",
    "method_options",
    "parse_overrides",
    "resolve",
    "to_toml",
]
