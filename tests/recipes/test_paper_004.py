"""The rows of paper 004: its tables 1 to 3, and how it trains."""

from __future__ import annotations

import pytest

from linnet.recipes import Recipe, list_recipes, load_recipe

TABLE_1 = {"cub": (89.1, 86.2), "cars": (94.1, 91.9), "aircraft": (93.3, 90.5)}
TABLE_2 = {"alpha-0": 87.2, "alpha-0.05": 87.7, "alpha-0.1": 87.9, "alpha-1": 88.2, "alpha-5": 87.2}
TABLE_3 = {
    "plain-ensemble": {"n2": 87.8, "n3": 88.2, "n4": 88.3, "": 88.6, "n6": 88.5},
    "orthogonal-ensemble": {"n2": 88.5, "n3": 88.6, "n4": 88.8, "": 89.1, "n6": 89.1},
}


def figure(name: str) -> float | None:
    return load_recipe(name).published.get("fine_top1")


def test_figures_of_table_1() -> None:
    for folder, figures in TABLE_1.items():
        names = (f"{folder}/orthogonal-ensemble", f"{folder}/orthogonal-ensemble/vgg16")
        assert tuple(figure(name) for name in names) == figures
        assert [load_recipe(name).backbone for name in names] == ["resnet50.tv_in1k", "vgg16.tv_in1k"]
        assert load_recipe(names[0]).data == folder


def test_figures_of_table_2() -> None:
    for variant, expected in TABLE_2.items():
        recipe = load_recipe(f"cub/orthogonal-ensemble/{variant}")
        assert recipe.published == {"fine_top1": expected} and recipe.table == "2"
        assert (recipe.options["members"], recipe.options["alpha"]) == (2, float(variant.removeprefix("alpha-")))


@pytest.mark.parametrize("row", TABLE_3)
def test_figures_of_table_3(row: str) -> None:
    assert figure("cub/single") == 87.2
    for variant, expected in TABLE_3[row].items():
        recipe = load_recipe("/".join(filter(None, ["cub", row, variant])))
        assert recipe.published == {"fine_top1": expected}
        assert recipe.options["members"] == int(variant[1:] or 5)
        assert recipe.row == (f"{row}[members={variant[1:]}]" if variant else row)


def of_paper_004(scale: str) -> list[Recipe]:
    found = [load_recipe(name) for name in list_recipes()]
    return [recipe for recipe in found if recipe.paper == "004" and recipe.scale == scale]


def test_it_trains_as_the_paper_says() -> None:
    full = of_paper_004("full")
    assert {recipe.data for recipe in full} == {"cub", "cars", "aircraft"} and len(full) > 20
    for recipe in full:
        assert (recipe.lr, recipe.momentum, recipe.weight_decay) == (0.01, 0.9, 5e-4)
        assert (recipe.epochs, recipe.batch_size, recipe.image_size, recipe.schedule) == (100, 32, 448, "cosine")
        assert recipe.lr * recipe.options["backbone_lr"] == pytest.approx(0.001)


def test_rows_on_a_cpu_differ_in_their_ensemble_alone() -> None:
    """So that a gain is the method's."""
    rows = {recipe.row: recipe for recipe in of_paper_004("cpu")}
    assert set(rows) == {"single", "plain-ensemble", "orthogonal-ensemble", "distilled"}
    settings = [
        recipe.model_dump(exclude={"row", "method", "options", "protocol", "note", "published"})
        for recipe in rows.values()
    ]
    assert all(each == settings[0] for each in settings)
