"""Results over the share of fine labels: gathered, as a table, and drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from linnet.cli.app import app
from linnet.errors import RunError
from linnet.report.curves import curve_table, gather_curves, label_share
from linnet.report.figures import curve_figure
from linnet.report.results import Result, append_results
from linnet.report.tables import update_document
from tests.report.test_tables import result

SHARES = (5, 10, 50)


def point(row: str, share: float | None, values: list[float], **changes: Any) -> Result:
    dataset = "CIFAR-100" if share is None else f"CIFAR-100, {share:g} % fine labels"
    settings = {"paper": "002", "protocol": "NIN, 12 epochs", "published": None, "floor": 1.0}
    return result(row, "fine_top1", values, dataset=dataset, **(settings | changes))


@pytest.fixture
def results() -> list[Result]:
    """Shares out of order, one seed at one point, and an oracle that has all labels."""
    lines = [point("min-pool", share, [10.0 + share, 12.0 + share]) for share in reversed(SHARES)]
    lines += [point("baseline", share, [5.0 + share]) for share in SHARES]
    return [point("oracle", None, [70.0, 71.0]), *lines, result("coarse", "fine_recall@1", [32.0])]


def test_the_name_tells_the_share() -> None:
    assert label_share("CIFAR-100, 10 % fine labels") == ("CIFAR-100", 10.0)
    assert label_share("CIFAR-100, 10 classes, 2.5 % fine labels") == ("CIFAR-100, 10 classes", 2.5)
    assert label_share("CIFAR-100, half fine labels") == ("CIFAR-100", 50.0)
    assert label_share("CIFAR-100, all fine labels") == ("CIFAR-100", 100.0)
    assert label_share("CIFAR-100, 10 classes") == ("CIFAR-100, 10 classes", 100.0)


def test_table(results: list[Result]) -> None:
    assert curve_table(gather_curves(results, "CIFAR-100")).splitlines() == [
        "| fine top-1, with fine labels for | 5 % | 10 % | 50 % | 100 % |",
        "| --- | ---: | ---: | ---: | ---: |",
        "| chance | 1.00 | 1.00 | 1.00 | 1.00 |",
        "| Baseline, fine-labelled images only (`baseline`) | 10.00 (1 seed) | 15.00 (1 seed) | 55.00 (1 seed) |  |",
        "| MinPool (`min-pool`) | 16.00 ± 12.71 | 21.00 ± 12.71 | 61.00 ± 12.71 |  |",
        "| Oracle, fine labels for all (`oracle`) |  |  |  | 70.50 ± 6.35 |",
    ]


def test_a_net_is_chosen_by_its_protocol(results: list[Result]) -> None:
    others = [point("min-pool", share, [1.0], protocol="AlexNet, 12 epochs") for share in SHARES]
    with pytest.raises(RunError, match=r"at 5 % fine labels \('NIN, 12 epochs'.*'AlexNet.*choose by protocol"):
        gather_curves([*results, *others], "CIFAR-100")
    assert curve_table(gather_curves([*results, *others], "CIFAR-100", protocol="NIN")) == curve_table(
        gather_curves(results, "CIFAR-100")
    )
    assert list(gather_curves([*results, *others], "CIFAR-100", protocol="AlexNet").rows) == ["min-pool"]


def test_what_is_no_curve(results: list[Result]) -> None:
    with pytest.raises(RunError, match=r"no fine_top1 of 'CIFAR-10' .*did you mean 'CIFAR-100'"):
        gather_curves(results, "CIFAR-10")
    with pytest.raises(RunError, match="one share of fine labels, 100 %, is no curve"):
        gather_curves(results[:1], "CIFAR-100")
    with pytest.raises(RunError, match="curves are there for none"):
        gather_curves(results[:1], "Birds")


def test_a_document_shows_it(tmp_path: Path, results: list[Result]) -> None:
    names = ("CIFAR-100 (curve of fine_top1)", "CIFAR-100 (curve of fine_top1, NIN)")
    document = tmp_path / "page.md"
    document.write_text("".join(f"<!-- results:{name} --><!-- /results:{name} -->\n" for name in names))
    update_document(document, results)
    assert document.read_text().count(curve_table(gather_curves(results, "CIFAR-100"))) == 2


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_the_command_draws_it_the_same_each_time(tmp_path: Path, results: list[Result], suffix: str) -> None:
    append_results(tmp_path / "results.jsonl", results)
    for name in ("a", "b"):
        out = tmp_path / f"{name}{suffix}"
        done = CliRunner().invoke(
            app, ["figure", "curve", "CIFAR-100", "--record", str(tmp_path / "results.jsonl"), "--out", str(out)]
        )
        assert done.exit_code == 0, done.output
        assert "| MinPool (`min-pool`) | 16.00" in done.output
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_the_figure_names_its_lines(tmp_path: Path, results: list[Result]) -> None:
    """An SVG's comments tell its texts: rows, chance, and shares as ticks. Other results give another picture."""
    curve_figure(gather_curves(results, "CIFAR-100"), tmp_path / "a.svg", title="NIN")
    text = (tmp_path / "a.svg").read_text()
    for label in ("NIN", "MinPool", "Oracle, fine labels for all", "Chance", "images with a fine label, %", "50"):
        assert f"<!-- {label} -->" in text
    changed = [*results[:-1], point("min-pool", 20, [30.0])]
    for name, lines in (("a", results), ("b", changed)):
        curve_figure(gather_curves(lines, "CIFAR-100"), tmp_path / f"{name}.png")
    one, two = (np.asarray(Image.open(tmp_path / f"{name}.png")) for name in "ab")
    assert one.shape == two.shape and not np.array_equal(one, two)
