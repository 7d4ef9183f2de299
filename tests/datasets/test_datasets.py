from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from inspect import signature
from pathlib import Path

import pytest

from linnet.datasets import DRAWN, KNOWN, load_data
from linnet.errors import DataError


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_every_known_name_has_a_reader(name: str) -> None:
    module, options = KNOWN[name]
    accepted = signature(import_module(module).load).parameters
    assert next(iter(accepted)) == "root" and set(options) <= set(accepted)


def test_a_name_that_is_neither_known_nor_a_path() -> None:
    with pytest.raises(
        DataError, match=r"'creature' is neither .*did you mean 'creatures'\?.*cifar100, .*, cub, .*, patches"
    ):
        load_data("creature")


def test_a_path_is_read_as_a_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "creatures").mkdir()
    table = tmp_path / "creatures" / "manifest.csv"
    table.write_text("image,coarse,fine\na.jpg,dog,husky\nb.jpg,dog,\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for source in (table, str(table), "./creatures"):
        assert load_data(source).targets.tolist() == [[0, 0], [0, -1]]
    assert load_data(table, tmp_path / "photos").path(0) == tmp_path / "photos" / "a.jpg"


def test_drawing_needs_no_torch() -> None:
    script = (
        "import sys; from linnet.datasets import load_data; load_data('creatures', train_per_class=1); "
        "load_data('patches'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


def test_drawn_sets_take_a_seed() -> None:
    for name in DRAWN:
        assert "seed" in signature(import_module(KNOWN[name][0]).load).parameters


def test_a_table_of_descriptions_goes_with_any_set(tmp_path: Path) -> None:
    names = load_data("creatures", train_per_class=1).taxonomy.classes[1]
    table = tmp_path / "a.csv"
    table.write_text("class,x\n" + "".join(f"{name},{number}\n" for number, name in enumerate(names)))
    found = load_data("creatures", train_per_class=1, attributes=table).attributes
    assert found is not None and found.columns == ("x",) and found.of(names)[:, 0].tolist() == list(range(24))
