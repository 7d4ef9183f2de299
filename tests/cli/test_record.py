"""Lines of results: one a metric, over runs that differ in their seed alone."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from linnet.cli.app import app
from linnet.cli.record import results_of
from linnet.errors import RunError
from linnet.recipes import Recipe, load_recipe
from linnet.report.results import append_results


def run(seed: int, **changes: Any) -> Any:
    summary = {
        "seconds": 10.0 + seed,
        "machine": "a processor",
        "versions": {"torch": "2"},
        "command": "/somewhere/bin/linnet train --recipe cifar100/coins --root /data",
    }
    recipe = load_recipe("cifar100/coins").change(seed=seed, **changes)
    bundle = SimpleNamespace(card={"start": "scratch"})
    return SimpleNamespace(
        folder=Path(f"runs/{seed}"), recipe=recipe, summary=summary, bundle=bundle, members=None, seconds=10.0 + seed
    )


def evaluation(figure: float) -> Any:
    figures = {"fine_recall@1": figure, "effective_rank": 3.0}
    return SimpleNamespace(split="test", figures=figures, floors={"fine_recall@1": 1.0}, marks=["a leak"])


def test_a_result_for_each_metric() -> None:
    first, second = results_of([run(0), run(1)], [evaluation(50.0), evaluation(60.0)])
    assert (first.metric, first.mean, first.values, first.seeds) == ("fine_recall@1", 55, (50, 60), (0, 1))
    assert (first.floor, first.published, first.seconds) == (1.0, 56.62, 10.5)
    assert first.command == "linnet train --recipe cifar100/coins"
    assert first.notes.endswith("; a leak")
    assert (second.metric, second.floor, second.published) == ("effective_rank", None, None)


def test_a_run_that_grew_has_two_commands() -> None:
    one = run(0)
    one.summary["command"] += " && /elsewhere/linnet/__main__.py train --root=/data --resume members=3"
    line = results_of([one], [evaluation(50.0)])[0]
    assert line.command == "linnet train --recipe cifar100/coins && linnet train --resume members=3"


def test_a_run_without_a_recipe_s_names_gets_them() -> None:
    one = run(0)
    one.recipe = Recipe(data="photos.csv", method="coarse")
    line = results_of([one], [evaluation(50.0)])[0]
    assert (line.paper, line.row, line.dataset, line.scale) == ("linnet", "coarse", "photos.csv", "own")


@pytest.mark.parametrize(("members", "row"), [(1, "single"), (2, "mine[members=2]"), (3, "mine"), (None, "mine")])
def test_an_ensemble_s_first_members_are_a_row_of_their_own(members: int | None, row: str) -> None:
    one = run(0)
    one.members = members
    one.recipe = Recipe(
        data="cub", row="mine", method="orthogonal-ensemble", options={"members": 3}, published={"fine_top1": 88.0}
    )
    found = SimpleNamespace(split="test", figures={"fine_top1": 70.0}, floors={}, marks=[])
    line = results_of([one], [found])[0]
    assert (line.row, line.published) == (row, 88.0 if row == "mine" else None)


def test_runs_must_be_seeds_of_one_recipe() -> None:
    figures = [evaluation(1.0), evaluation(2.0)]
    with pytest.raises(RunError, match="more than their seed"):
        results_of([run(0), run(1, lr=0.2)], figures)
    with pytest.raises(RunError, match="a seed counts once"):
        results_of([run(0), run(0)], figures)


def test_results_of_another_split_are_asked_for(tmp_path: Path) -> None:
    record = tmp_path / "record.jsonl"
    kept_back = SimpleNamespace(split="validation", figures={"fine_recall@1": 50.0}, floors={}, marks=[])
    append_results(record, results_of([run(0)], [kept_back]))
    assert "50.00" in CliRunner().invoke(app, ["results", str(record), "--split", "val"]).output
    refused = CliRunner().invoke(app, ["results", str(record)])
    assert refused.exit_code == 2 and "split 'validation'" in refused.output.replace("\n", " ")
