"""`linnet split`: the table it writes is what the recipe's own settings draw."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from linnet.cli.app import app
from linnet.datasets.creatures import write_folder
from linnet.manifest import Manifest, read_manifest
from linnet.training.data import prepare
from tests.training.tiny import tiny_recipe


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 fine classes of 8 training and 2 test images each, as files."""
    return write_folder(tmp_path_factory.mktemp("creatures"), train_per_class=8, test_per_class=2, size=16)


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["split", *map(str, arguments)])


def known(manifest: Manifest, split: str) -> dict[str, bool]:
    """Absolute image path to whether it has a fine label."""
    rows = manifest.rows(split)
    return {str(manifest.path(row).absolute()): bool(manifest.targets[row, -1] >= 0) for row in rows}


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_the_table_is_what_the_recipe_draws(table: Path, tmp_path: Path, suffix: str) -> None:
    """The same images in the same splits with the same labels, wherever the table is written."""
    out = tmp_path / f"part{suffix}"
    done = call(
        table, "--label-fraction", 0.25, "--coarse-fraction", 0.5, "--validation", 0.2, "--seed", 3, "--out", out
    )
    assert done.exit_code == 0, done.output
    settings = {"label_fraction": 0.25, "coarse_fraction": 0.5, "validation": 0.2, "seed": 3}
    data, written = prepare(tiny_recipe(**settings), read_manifest(table)), read_manifest(out)
    for split, rows in data.rows.items():
        drawn = data.manifest.targets[rows, -1] >= 0
        paths = [str(data.manifest.path(row).absolute()) for row in rows]
        assert known(written, split) == dict(zip(paths, drawn.tolist(), strict=True))
    assert written.taxonomy.fingerprint == data.manifest.taxonomy.fingerprint
    assert (written.targets[:, 0] >= 0).all()
    assert all(Path(path).is_file() for path in known(written, "train"))


def test_paths_stay_relative_below_the_table(table: Path) -> None:
    out = table.with_name("relative.csv")
    assert call(table, "--label-fraction", 0.5, "--out", out).exit_code == 0
    assert not any(name.startswith("/") for name in read_manifest(out).images.to_pylist())


def test_it_prints_what_is_labelled(table: Path, tmp_path: Path) -> None:
    said = call(table, "--label-fraction", 0.25, "--validation", 0.25, "--out", tmp_path / "part.csv").output
    rows = [[cell.strip() for cell in line.strip("│ ").split("│")] for line in said.splitlines() if "│" in line]
    # 32 training images a coarse class: 24 with coarse labels only and 8 with fine ones, a quarter of each kept back.
    assert ["train", "144", "144 (24)", "36 (1 to 2)"] in rows
    assert ["validation", "48", "48 (8)", "12 (1)"] in rows
    assert ["test", "48", "48 (8)", "48 (2)"] in rows


def test_validation_alone(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "split.csv"
    assert call(table, "--validation", 0.25, "--out", out).exit_code == 0
    written = read_manifest(out)
    assert (written.targets >= 0).all()
    assert len(written.rows("validation")) == 48


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["creatures", "--label-fraction", 0.1], "lie in arrays.*linnet train creatures label_fraction=0.1"),
        (["TABLE"], "nothing to split: give --label-fraction"),
        (["TABLE", "--label-fraction", 0.7, "--coarse-fraction", 0.7], "together at most 1"),
        (["TABLE", "--label-fraction", 2], "label_fraction = 2"),
        (["TABLE", "--coarse-fraction", 0.5], "give label_fraction too"),
        (["TABLE", "epochs=3", "--label-fraction", 0.5], "epochs: split takes only"),
        (["TABLE", "coarse=fine", "--label-fraction", 0.5], "is the one level there is"),
    ],
)
def test_mistakes_are_named(table: Path, tmp_path: Path, arguments: list[object], message: str) -> None:
    given = [table if argument == "TABLE" else argument for argument in arguments]
    done = call(*given, "--out", tmp_path / "part.csv")
    assert done.exit_code == 2
    assert not (tmp_path / "part.csv").exists()
    assert re.search(message, done.output.replace("\n", " ")), done.output


def test_a_table_is_not_written_over(table: Path) -> None:
    before = table.read_bytes()
    done = call(table, "--label-fraction", 0.5, "--out", table)
    assert (done.exit_code, table.read_bytes()) == (2, before)
    assert "already there" in done.output


def test_the_draw_is_by_seed(table: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert call(table, "--label-fraction", 0.25, "--seed", seed, "--out", tmp_path / f"{name}.csv").exit_code == 0
    a, b, c = (read_manifest(tmp_path / f"{name}.csv").targets for name in "abc")
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)
