"""`key=value`: types, the way to the method's options, and messages."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from linnet.errors import RecipeError
from linnet.recipes import Recipe, load_recipe, overrides, parse_overrides, resolve


class Plain(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Weighted(Plain):
    lambda_: float = Field(default=0.1, ge=0, alias="lambda")
    scope: Literal["coarse", "all"] = "coarse"
    cosine: bool = False
    depth: int | None = 3


OPTIONS = {"coins": Weighted, "coarse": Plain}


@pytest.fixture(autouse=True)
def _methods(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two methods of our own, so that these tests stand without the real ones and the options in their recipes."""

    def method_options(method: str) -> type[BaseModel]:
        if method not in OPTIONS:
            raise RecipeError(f"method: {method!r} is not one of coins, coarse")
        return OPTIONS[method]

    def shelf(name: str) -> Recipe:
        return load_recipe(name).change(options={"scope": "coarse"} if name.endswith("/coins") else {})

    monkeypatch.setattr(overrides, "method_options", method_options)
    monkeypatch.setattr(overrides, "load_recipe", shelf)


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("lr=0.05", "lr", 0.05),
        ("lr=1e-4", "lr", 1e-4),
        ("lr=.5", "lr", 0.5),
        ("lr=1", "lr", 1),
        ("epochs=3", "epochs", 3),
        ("flip=false", "flip", False),
        ("flip=True", "flip", True),
        ("backbone=resnet18", "backbone", "resnet18"),
        ('backbone="resnet18"', "backbone", "resnet18"),
        ("data=2012", "data", "2012"),
        ("data=true", "data", "true"),
        ("data=a=b", "data", "a=b"),
        ("data=1\nlr = 2", "data", "1\nlr = 2"),
        ("augment=none", "augment", "none"),
        ("width=none", "width", None),
        ("weights=none", "weights", None),
        ("milestones=60,120,160", "milestones", [60, 120, 160]),
        ("milestones=[60, 120]", "milestones", [60, 120]),
        ("milestones=60", "milestones", [60]),
        ("classes=fish,flowers", "classes", ["fish", "flowers"]),
        ("classes=fish", "classes", ["fish"]),
        ("mean=0.5,0.5,0.5", "mean", [0.5, 0.5, 0.5]),
        ("levels=category", "levels", ["category"]),
        ("levels=kind,breed", "levels", ["kind", "breed"]),
        ("delimiter=;", "delimiter", ";"),
        ("delimiter='|'", "delimiter", "|"),
        ("qualify=True", "qualify", True),
        (" lr = 0.05 ", "lr", 0.05),
    ],
)
def test_values_are_typed_by_the_field(text: str, key: str, value: object) -> None:
    found = parse_overrides([text])
    assert found == {key: value}
    assert type(found[key]) is type(value)


@pytest.mark.parametrize("text", ["options.lambda=.2", "lambda=.2", "options={lambda = 0.2}"])
def test_options_by_any_road(text: str) -> None:
    assert parse_overrides([text]) == {"options": {"lambda": 0.2}}


def test_options_follow_the_method_of_the_same_line() -> None:
    assert parse_overrides(["scope=all", "method=coins"], Recipe(method="coarse")) == {
        "method": "coins",
        "options": {"scope": "all"},
    }
    with pytest.raises(RecipeError, match="unknown setting 'scope'"):
        parse_overrides(["scope=all", "method=coarse"])


def test_a_later_item_replaces_an_earlier() -> None:
    assert parse_overrides(["lr=1", "lr=2"]) == {"lr": 2}


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("lrr=1", ("unknown setting 'lrr'", "did you mean 'lr'")),
        ("lamda=1", ("unknown setting 'lamda'", "did you mean 'lambda'")),
        ("options.lamda=1", ("unknown setting 'options.lamda'", "did you mean 'lambda'")),
        (
            "options.lr=1",
            ("unknown setting 'options.lr'", "options of method 'coins' are cosine, depth, lambda"),
        ),
        ("zzz=1", ("unknown setting 'zzz'", "--dry-run")),
        ("lr=fast", ("lr=fast", "a number above 0")),
        ("lr=-0.1", ("lr=-0.1", "a number above 0")),
        ("lr=", ("lr=", "a number above 0")),
        ("epochs=1e2", ("epochs=1e2", "a whole number at least 1")),
        ("epochs=none", ("epochs=none", "a whole number at least 1")),
        ("flip=maybe", ("flip=maybe", "true or false")),
        ("scope=fine", ("scope=fine", "one of 'coarse', 'all'")),
        ("lambda=-1", ("lambda=-1", "a number at least 0")),
        ("milestones=a,b", ("milestones=a,b", "a list, each a whole number")),
        ("method=cions", ("'cions'", "coins")),
        ("lr", ("'lr' is no setting", "key=value")),
        ("=3", ("'=3' is no setting",)),
    ],
)
def test_bad_settings_say_what_is_allowed(text: str, parts: tuple[str, ...]) -> None:
    with pytest.raises(RecipeError) as raised:
        resolve(None, [text])
    assert all(part in str(raised.value) for part in parts), str(raised.value)


def test_resolve_fills_up_options() -> None:
    recipe = resolve("cifar100/coins", ["lambda=.2", "epochs=2"])
    assert recipe.options == {"lambda": 0.2, "scope": "coarse", "cosine": False, "depth": 3}
    assert (recipe.epochs, recipe.lr) == (2, 0.1)


@pytest.mark.parametrize("key", ["lambda", "lambda_"])
def test_resolve_takes_python_values(key: str) -> None:
    settings: dict[str, Any] = {key: 0.2, "classes": ["fish"], "options": {"scope": "all"}}
    recipe = resolve("cifar100/coins", settings)
    assert (recipe.options["lambda"], recipe.options["scope"], recipe.classes) == (0.2, "all", ("fish",))
    with pytest.raises(RecipeError, match="did you mean 'lambda'"):
        resolve(None, {"lamda": 0.2})
    with pytest.raises(RecipeError, match="lambda = -1"):
        resolve(None, {"lambda": -1})


def test_another_method_drops_what_belonged_to_the_old() -> None:
    recipe = resolve("cifar100/coins", ["method=coarse"])
    assert (recipe.options, recipe.published, recipe.row) == ({}, {}, "")
    assert resolve("cifar100/coins", ["method=coins"]).published


def test_other_data_drops_the_published_figures() -> None:
    own = resolve("cifar100/coins", [], data="photos.csv")
    assert (own.data, own.published, own.dataset) == ("photos.csv", {}, "")
    same = resolve("cifar100/coins", [], data="cifar100")
    assert same.published == load_recipe("cifar100/coins").published
    assert resolve("pets/coins", [], data="pets.csv").published, "pets has no data of its own"


@pytest.mark.parametrize(
    ("items", "told"),
    [
        (["epochs=1", "width=4"], "width=4, epochs=1"),
        (["lambda=.2"], "lambda=0.2"),
        (["milestones=1,2"], "milestones=[1, 2]"),
        (["precision=fp32", "seed=3"], "precision=fp32"),
        (["data=photos.csv"], "data=photos.csv"),
        (["method=coarse"], "method=coarse"),
    ],
)
def test_a_changed_recipe_is_not_the_paper_s(items: list[str], told: str) -> None:
    recipe = resolve("cifar100/coins", items)
    assert (recipe.scale, recipe.published) == ("own", {})
    assert recipe.note.endswith(f"changed from cifar100/coins: {told}")
    again = resolve(None, recipe.model_dump())
    assert again == recipe, "what is resolved keeps what it is given"


@pytest.mark.parametrize(
    "items",
    [
        ["seed=2", "threads=1", "workers=3", "device=cpu", "root=/images", "road=memory", "compile=false"],
        ["epochs=200", "data=cifar100", "lambda=.1"],
        ["note=our own"],
    ],
)
def test_free_settings_keep_the_identity(items: list[str]) -> None:
    recipe, shelved = resolve("cifar100/coins", items), load_recipe("cifar100/coins")
    assert (recipe.scale, recipe.published) == (shelved.scale, shelved.published)
    assert "changed" not in recipe.note


def test_crops_from_the_cache_are_not_quite_the_recipes() -> None:
    assert resolve("cifar100/coins", ["road=cache"]).scale == "full"  # nothing is resized there
    changed = resolve("pets/coins", ["road=cache"])
    assert (changed.scale, changed.published) == ("own", {})
    assert "road=cache" in changed.note


def test_data_for_a_recipe_without_any_is_no_change() -> None:
    recipe = resolve("pets/coins", ["levels=kind,breed", "delimiter=;"], data="pets.csv")
    assert (recipe.scale, bool(recipe.published)) == ("full", True)


def test_a_recipe_at_hand_is_a_base() -> None:
    base = Recipe(data="photos.csv", method="coins", epochs=3, note="mine", scale="own")
    found = resolve(base, ["lr=.5"], root="/images")
    assert (found.epochs, found.lr, found.root, found.note) == (3, 0.5, "/images", "mine")
