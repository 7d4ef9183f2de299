"""Sweeps over their values, and over seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from linnet import files
from linnet.errors import RunError
from linnet.report.sweeps import read_sweeps, sweep_figure, sweep_table


def write(folder: Path, figures: dict[Any, float], key: str = "parts") -> Path:
    trials = [
        {"value": value, "folder": "", "figures": {"coarse_top1": figure, "fine_top1": 2 * figure}}
        for value, figure in figures.items()
    ]
    files.write_json(folder / "sweep.json", {"key": key, "trials": trials, "chosen_by": "coarse_top1"})
    return folder


def test_seeds_are_put_together_and_numbers_in_order(tmp_path: Path) -> None:
    one = write(tmp_path / "a", {8: 30.0, 1: 10.0, 2: 20.0})
    two = write(tmp_path / "b", {1: 14.0, 2: 20.0})
    swept = read_sweeps([one, two])
    assert swept.values == ["1", "2", "8"]
    assert swept.figures == {"coarse_top1": {"1": [10.0, 14.0], "2": [20.0, 20.0], "8": [30.0]}}
    table = sweep_table(read_sweeps([one, two], ["fine_top1"]))
    assert "| parts | 1 | 2 | 8 |" in table
    assert "| fine top-1 | 24.00 ± 50.82 | 40.00 ± 0.00 | 60.00 |" in table, "12.706 / sqrt(2) * sd of 20 and 28"
    sweep_figure(swept, tmp_path / "figure.png", dpi=50)
    with Image.open(tmp_path / "figure.png") as image:
        assert image.width > 100


def test_words_keep_their_order_and_mistakes_are_named(tmp_path: Path) -> None:
    words = write(tmp_path / "a", {"concat": 1.0, "bilinear": 2.0}, "fusion")
    assert read_sweeps([words]).values == ["concat", "bilinear"]
    with pytest.raises(RunError, match="different settings: fusion, parts"):
        read_sweeps([words, write(tmp_path / "b", {1: 1.0})])
    with pytest.raises(RunError, match="no 'fine_top_1' in every trial; did you mean 'fine_top1'"):
        read_sweeps([words], ["fine_top_1"])
    with pytest.raises(RunError, match="no such file"):
        read_sweeps([tmp_path])
