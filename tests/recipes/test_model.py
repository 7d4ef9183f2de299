"""The recipe: ranges, messages, and the way through TOML and JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linnet.errors import RecipeError
from linnet.recipes import Recipe, from_toml, to_toml


def test_every_setting_is_described_and_has_a_default() -> None:
    assert Recipe() == Recipe.read({})
    assert all(field.description for field in Recipe.model_fields.values())


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({"lrr": 1.0}, ("unknown setting 'lrr'", "did you mean 'lr'")),
        ({"lr": 0}, ("lr = 0", "a number above 0")),
        ({"lr": "1e-4"}, ("lr = '1e-4'", "a number above 0")),
        ({"lr": float("nan")}, ("lr = nan", "a number above 0")),
        ({"validation": 1.0}, ("validation = 1.0", "at least 0 and below 1")),
        ({"batch_size": 0}, ("batch_size = 0", "a whole number at least 1")),
        ({"batch_size": 2.5}, ("batch_size = 2.5", "a whole number at least 1")),
        ({"flip": 1}, ("flip = 1", "true or false")),
        ({"schedule": "steps"}, ("schedule = 'steps'", "one of 'constant', 'step', 'cosine', 'plateau'")),
        ({"width": 0}, ("width = 0", "a whole number at least 1; or none")),
        ({"mean": [0.5, 0.5]}, ("mean", "a list of 3, each a number; or none")),
        ({"mean": [0.5, 0.5, 0.5]}, ("mean and std go together",)),
        ({"milestones": [1, 0]}, ("milestones has 0", "a list, each a whole number at least 1")),
        ({"milestones": [2, 1]}, ("milestones = [2, 1] must rise",)),
        ({"classes": []}, ("classes = []", "not empty")),
        ({"schedule": "step"}, ("needs milestones",)),
        ({"resize": 200}, ("resize = 200 is smaller than image_size = 224",)),
        ({"warmup": 31}, ("warmup = 31 is longer than epochs = 30",)),
        ({"nesterov": True, "momentum": 0}, ("nesterov = true needs momentum",)),
        ({"pretrained": True, "weights": "w.safetensors"}, ("pretrained = true and weights",)),
        ({"label_fraction": 0}, ("label_fraction = 0", "a number above 0 and at most 1; or none")),
        ({"coarse_fraction": 0.5}, ("coarse_fraction says what becomes of the rest: give label_fraction too",)),
        ({"label_fraction": 0.6, "coarse_fraction": 0.5}, ("shares of the same images: together at most 1",)),
        ({"patience": 0}, ("patience = 0", "a whole number at least 1")),
        ({"test_views": 5}, ("test_views = 5", "one of 1, 2, 10")),
        ({"test_views": 10}, ("give resize above image_size = 224, such as resize = 256",)),
        ({"color_jitter": 1.5}, ("color_jitter = 1.5", "a number at least 0 and at most 1")),
        (
            {"frozen": True, "augment": "none", "color_jitter": 0.4},
            ("color_jitter = 0.4 changes images each epoch: leave it out with frozen = true",),
        ),
        ({"delimiter": ";;"}, ("delimiter = ';;'",)),
        ({"levels": []}, ("levels = []", "not empty")),
        ({"data": "cifar100", "levels": ["fine"]}, ("levels: for tables and folders only", "./cifar100")),
        ({"published": {"fine_recall@1": "57"}}, ("published has '57'", "a table of names and values")),
    ],
)
def test_bad_settings_are_named(settings: dict[str, Any], parts: tuple[str, ...]) -> None:
    with pytest.raises(RecipeError) as raised:
        Recipe.read(settings, "my.toml")
    message = str(raised.value)
    assert message.startswith("my.toml: ")
    assert all(part in message for part in parts), message


def test_shares_that_make_a_whole_are_allowed() -> None:
    assert Recipe.read({"label_fraction": 0.1, "coarse_fraction": 0.9}).coarse_fraction == 0.9


def test_all_complaints_come_at_once() -> None:
    with pytest.raises(RecipeError) as raised:
        Recipe.read({"lr": -1, "epochs": 0, "sed": 3})
    assert len(str(raised.value).splitlines()) == 3


def test_change_checks() -> None:
    assert Recipe().change(lr=0.5).lr == 0.5
    with pytest.raises(RecipeError, match="lr = -1"):
        Recipe().change(lr=-1)


def test_reading_options_are_those_that_are_set() -> None:
    assert Recipe(data="photos.csv").reading() == Recipe(data="creatures").reading() == {}
    recipe = Recipe.read({"data": "photos.csv", "levels": ["a", "b"], "delimiter": "tab", "allow_skips": True})
    assert recipe.reading() == {"levels": ("a", "b"), "delimiter": "\t", "allow_skips": True}


def test_a_known_set_takes_a_table_of_descriptions_and_a_drawn_one_the_seed() -> None:
    assert Recipe(data="cub", attributes="a.npy").reading() == {"attributes": "a.npy"}
    assert Recipe(data="flowers-hgtl", seed=3).reading() == {"seed": 3}
    assert Recipe(data="flowers", seed=3).reading() == {}
    with pytest.raises(RecipeError, match="levels: for tables and folders only; 'cub' is a known data set"):
        Recipe.read({"data": "cub", "levels": ["a"], "attributes": "a.npy"})


RECIPES = st.builds(
    Recipe,
    data=st.text(st.characters(exclude_categories=["Cs"])),
    classes=st.none() | st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1).map(tuple),
    lr=st.floats(min_value=1e-300, allow_nan=False, allow_infinity=False),
    flip=st.booleans(),
    seed=st.integers(min_value=0, max_value=2**62),
    milestones=st.sets(st.integers(1, 1000)).map(lambda found: tuple(sorted(found))),
    options=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.integers() | st.booleans()),
    published=st.dictionaries(st.sampled_from(["fine_recall@1", "coarse_top1"]), st.floats(0, 100)),
)


@given(RECIPES)
def test_toml_and_json_keep_everything(recipe: Recipe) -> None:
    assert from_toml(to_toml(recipe)) == recipe
    assert from_toml(to_toml(recipe, explain=True)) == recipe
    assert Recipe.read(json.loads(json.dumps(recipe.model_dump(mode="json")))) == recipe


def test_no_toml_says_where() -> None:
    with pytest.raises(RecipeError, match=r"my\.toml: not TOML: .*line 2"):
        from_toml("lr = 0.1\nlr 0.2", "my.toml")
