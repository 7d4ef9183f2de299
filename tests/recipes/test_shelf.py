"""The recipes that ship: each loads, fits its method, and holds the paper's figures."""

from __future__ import annotations

from pathlib import Path

import pytest

from linnet.errors import RecipeError
from linnet.recipes import Recipe, check_options, from_toml, list_recipes, load_recipe

ROWS = {
    "cifar100": {"coarse", "instance", "coins-all", "coins", "fine"},
    "pets": {"coarse", "coins", "fine"},
    "sop": {"coarse", "coins", "fine"},
    "patches": {"coarse", "fine", "instance"},
}


def test_every_row_of_the_paper_is_there() -> None:
    names = set(list_recipes())
    assert {f"{folder}/{row}" for folder, rows in ROWS.items() for row in rows} <= names
    assert {f"cifar100/cpu-{row}" for row in ROWS["cifar100"]} <= names


@pytest.mark.parametrize("name", list_recipes())
def test_recipe_fits_its_method(name: str) -> None:
    recipe = check_options(load_recipe(name), name)
    assert recipe.row and recipe.dataset and recipe.protocol and recipe.scale
    assert recipe.paper != "linnet" or (recipe.scale != "full" and not recipe.published), "a paper's alone"
    row, _, more = recipe.row.partition("[")
    assert row in rows_of(recipe)
    assert (more == "all]") == (recipe.options.get("scope") == "all")


def rows_of(recipe: Recipe) -> set[str]:
    """What results may call the method of a recipe, but for what its settings add in brackets."""
    if recipe.method == "min-pool" and recipe.options["lambda"] == 0:
        return {"baseline", "oracle"}
    if recipe.method == "orthogonal-ensemble":
        together = {"plain-ensemble"} if recipe.options["alpha"] == 0 else {recipe.method}
        return {"single"} if recipe.options["members"] == 1 else together
    if recipe.method == "distil":
        return {"distilled"}
    return {"cross-entropy"} if recipe.method == "fine" and recipe.paper == "003" else {recipe.method}


@pytest.mark.parametrize("name", list_recipes())
def test_figures_stand_where_the_paper_has_them(name: str) -> None:
    recipe = load_recipe(name)
    if recipe.paper == "001" and recipe.scale == "full":
        assert bool(recipe.published) == (not name.startswith("patches/"))
    if recipe.paper == "003" or recipe.row == "any-level":
        assert not recipe.published, "the text of paper 003 lacks its tables, and any-level is Linnet's own"


@pytest.mark.parametrize("name", [name for name in list_recipes() if load_recipe(name).published])
def test_published_figures_are_metrics_that_are_measured(name: str) -> None:
    recipe = load_recipe(name)
    measured = {f"{level}_recall@{k}" for level in ("coarse", "fine") for k in recipe.recall_at}
    restricted = {"fine_top1_restricted", "fine_top5_restricted"}
    assert set(recipe.published) <= measured | restricted | {"coarse_top1", "coarse_top5", "fine_top1"}
    recalls = [recipe.published.get(f"fine_recall@{k}") for k in recipe.recall_at]
    known = [value for value in recalls if value is not None]
    assert known == sorted(known), "recall rises with k"


def test_figures_of_tables_1_to_4() -> None:
    figures = {
        "cifar100/coarse": (37.06, 51.63, 67.04, 79.91),
        "cifar100/instance": (13.57, 19.22, 27.08, 37.29),
        "cifar100/coins-all": (56.95, 67.97, 77.50, 85.50),
        "cifar100/coins": (56.62, 68.04, 77.46, 85.11),
        "cifar100/fine": (71.77, 78.80, 84.06, 88.34),
        "pets/coins": (86.59, 93.24, 96.43, 98.31),
    }
    for name, expected in figures.items():
        published = load_recipe(name).published
        assert tuple(published[f"fine_recall@{k}"] for k in (1, 2, 4, 8)) == expected
    shop = load_recipe("sop/coins").published
    assert [shop[f"fine_recall@{k}"] for k in (1, 10, 100, 1000)] == [32.56, 47.99, 65.39, 82.95]
    assert load_recipe("cifar100/coins-all").published["coarse_top1"] == 86.27


# Tables I, II and IV of paper 002: by net and row, the columns |S_fine| (and |S_coarse|) of the ILSVRC-2010 subset.
COLUMNS = ("f10-c50", "f20-c50", "f50-c50", "f50-c10", "f50-c20")
GRID = {
    ("nin", "baseline"): (32.51, 43.90, 56.49),
    ("nin", "min-pool"): (50.77, 56.70, 65.97, 62.53, 62.78),
    ("nin", "oracle"): (62.47, 64.11, 66.93, 63.09, 63.54),
    ("alexnet", "baseline"): (39.28, 50.58, 63.40),
    ("alexnet", "min-pool"): (58.43, 62.27, 67.23, 64.19, 65.00),
    ("alexnet", "oracle"): (64.98, 65.45, 68.73, 65.02, 65.94),
}
TABLE_I = {
    "nin": {"baseline": 51.28, "min-pool": 57.40, "oracle": 64.32},
    "alexnet": {"baseline": 45.98, "min-pool": 49.15, "oracle": 52.80},
}


@pytest.mark.parametrize(("net", "row"), GRID)
def test_figures_and_labels_of_paper_002(net: str, row: str) -> None:
    assert load_recipe(f"cifar100/{net}-{row}").published == {"fine_top1": TABLE_I[net][row]}
    backbone = {"nin": "nin-4", "alexnet": "alexnet-caffe"}[net]
    for column, figure in zip(COLUMNS, GRID[net, row], strict=False):
        variant = "-".join([net] * (net != "nin") + [column] * (column != "f50-c50"))
        recipe = load_recipe("/".join(filter(None, ["ilsvrc2010", row, variant])))
        assert (recipe.published, recipe.backbone) == ({"fine_top1": figure}, backbone)
        fine, coarse = (int(part[1:]) for part in column.split("-"))
        assert recipe.dataset.endswith(f"{coarse} % coarse labels, {fine} % fine labels")
        asked = (recipe.label_fraction, recipe.coarse_fraction, recipe.labelled_only)
        both = (fine + coarse) / 100
        assert (
            asked
            == {
                "baseline": (fine / 100, None, True),
                "min-pool": (fine / 100, coarse / 100, False),
                "oracle": (None, None, False) if both == 1 else (both, None, True),
            }[row]
        )


def test_paper_002_trains_as_it_says() -> None:
    for name in list_recipes():
        recipe = load_recipe(name)
        if recipe.paper == "002" and recipe.scale == "full":
            assert (recipe.lr, recipe.momentum, recipe.weight_decay) == (0.01, 0.9, 5e-4)
            assert recipe.schedule == "plateau" and 128 <= recipe.batch_size <= 400
            assert (recipe.whitening, recipe.test_views) == (("zca", 1) if recipe.image_size == 32 else ("none", 10))
            assert recipe.options.get("cells") == (36 if "alexnet" in recipe.backbone else None)
            assert recipe.options.get("lambda", 1) == (0 if recipe.row in ("baseline", "oracle") else 1)


def test_every_row_of_paper_003_has_its_nets() -> None:
    rows = ("cross-entropy", "coarse-constraint", "any-level")
    for row in rows:
        for folder in ("cub", "dogs", "nabirds"):
            nets = [load_recipe(f"{folder}/{row}{net}").backbone for net in ("", "/vgg19", "/inception-v3")]
            assert nets == ["resnet50.tv_in1k", "vgg19.tv_in1k", "inception_v3.tv_in1k"]
        assert [load_recipe(f"cifar100/{net}-{row}").backbone for net in ("wrn", "vgg19")] == [
            "cifar-wrn16",
            "vgg19_bn",
        ]


def test_cifar_trains_as_the_paper_says() -> None:
    recipe = load_recipe("cifar100/coins")
    assert (recipe.epochs, recipe.batch_size, recipe.lr, recipe.milestones) == (200, 256, 0.1, (60, 120, 160))
    assert (recipe.factor, recipe.momentum, recipe.weight_decay) == (0.2, 0.9, 5e-4)


def test_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(RecipeError, match="did you mean 'cifar100/coins'"):
        load_recipe("cifar100/coin")
    with pytest.raises(RecipeError, match=r"there are aircraft/\.\.\., .*, sop/\.\.\. \("):
        load_recipe("x")
    with pytest.raises(RecipeError, match=r"there are pets/coarse, pets/coins, pets/fine \("):
        load_recipe("pets/nothing-alike")


def test_own_recipe_by_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('data = "photos.csv"\nlr = 0.3\n')
    assert load_recipe(str(path)).lr == 0.3
    with pytest.raises(RecipeError, match=r"other\.toml: cannot be read"):
        load_recipe(str(tmp_path / "other.toml"))
    path.write_text("lrr = 0.3\n")
    with pytest.raises(RecipeError, match=r"mine\.toml: unknown setting 'lrr'"):
        load_recipe(str(path))


VARIED = """
data = "photos.csv"
method = "coins"
lr = 0.3
published = { coarse_top1 = 50.0 }
[options]
lambda = 0.5
scope = "all"
[variants.small]
lr = 0.1
options = { lambda = 2.0 }
[variants.plain]
method = "coarse"
options = {}
published = { coarse_top1 = 60.0 }
"""


def test_a_variant_changes_what_it_says() -> None:
    base, small, plain = (from_toml(VARIED, "my.toml", variant) for variant in ("", "small", "plain"))
    assert (base.lr, base.options, base.published) == (0.3, {"lambda": 0.5, "scope": "all"}, {"coarse_top1": 50.0})
    assert (small.lr, small.options, small.published) == (0.1, {"lambda": 2.0, "scope": "all"}, {})
    assert (plain.lr, plain.options, plain.published) == (0.3, {}, {"coarse_top1": 60.0}), "options follow the method"


def test_variants_by_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(VARIED)
    assert load_recipe(f"{path}/small") == from_toml(VARIED, "x", "small")
    with pytest.raises(
        RecipeError, match=r"no variant 'smal'; did you mean '.*/small'\?; variants there: small, plain"
    ):
        load_recipe(f"{path}/smal")
    for text, message in (
        ("variants = 3", "variants is no table of tables"),
        ("[variants]\nsmall = 3", "variants is no table of tables"),
        ("[variants.small]\nlrr = 3", r"mine\.toml/small: unknown setting 'lrr'"),
        ("options = 3\n[variants.small]", "options = 3"),
    ):
        path.write_text(text)
        with pytest.raises(RecipeError, match=message):
            load_recipe(f"{path}/small")


# Table 2 of paper 000 (R1 of coarse classes, R1 and R5 of fine ones), and table 3.
DESCRIBED = {
    "transfer": ((92.7, 24.4, 57.9), (98.7, 35.4, 88.7), (89.2, 35.4, 66.9)),
    "fgn": ((93.7, 26.9, 60.7), (94.3, 45.1, 90.9), (86.0, 36.2, 65.0)),
    "gcnz": ((91.3, 18.3, 54.1), (97.5, 35.0, 87.7), (85.5, 34.1, 61.9)),
    "spaen": ((92.7, 27.0, 62.9), (98.5, 45.2, 91.1), (89.1, 38.5, 67.7)),
    "vse": ((94.1, 26.0, 61.5), (97.7, 43.3, 92.7), (90.3, 38.5, 68.1)),
    "cos-softmax": ((93.5, 26.3, 63.7), (98.8, 39.7, 91.9), (86.5, 36.7, 65.4)),
    "bigspn": ((93.3, 32.8, 69.9), (98.3, 52.0, 95.4), (88.7, 43.0, 70.9)),
}
ENCODERS = {"fv-transferred": (92.7, 24.4, 57.9), "fv-retrained": (93.1, 30.1, 68.1), "fpv-both": (93.8, 32.4, 70.0)}


def test_figures_of_paper_000() -> None:
    expected = {f"hgtl/bigspn/{name}": figures for name, figures in ENCODERS.items()}
    for row, figures in DESCRIBED.items():
        expected |= dict(zip((f"hgtl/{row}", f"hgtl/{row}/awa2", f"hgtl/{row}/flowers"), figures, strict=True))
    for name, figures in expected.items():
        recipe = load_recipe(name)
        assert tuple(recipe.published.values()) == figures and len(recipe.published) == 3
        assert (recipe.image_size, recipe.epochs, recipe.batch_size, recipe.lr) == (448, 180, 12, 0.001)
