"""Tables from results, and their place in a document."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from linnet.errors import RunError
from linnet.report.results import Result
from linnet.report.tables import render, stale_tables, update_document

PAPER = {"coarse": {"fine_recall@1": 37.06, "coarse_top1": 85.6}, "fine": {"fine_recall@1": 71.77}}


def result(row: str, metric: str, values: list[float], **changes: Any) -> Result:
    line = {
        "paper": "001",
        "table": "2",
        "dataset": "CIFAR-100",
        "protocol": "leave-one-out",
        "scale": "cpu",
        "start": "scratch",
        "seeds": list(range(len(values))),
        "floor": {"coarse_top1": 5.0}.get(metric, 0.99),
        "published": PAPER.get(row, {}).get(metric),
        "seconds": 1500.0,
        "machine": "a processor",
        "versions": {"torch": "2.15.0"},
        "command": "linnet train",
        "date": "2026-01-02",
        "notes": "chosen by fine labels" if row == "coins" else "",
    }
    return Result.model_validate(line | {"row": row, "metric": metric, "values": values} | changes)


@pytest.fixture
def results() -> list[Result]:
    return [
        result("fine", "fine_recall@1", [50.0]),
        result("mine", "fine_recall@1", [44.0]),
        result("coins", "fine_recall@1", [40.0, 41.0, 42.0]),
        result("coarse", "fine_recall@1", [32.0, 33.0]),
        result("coarse", "coarse_top1", [60.0]),
    ]


def test_table(results: list[Result]) -> None:
    assert render(results) == "\n".join(
        [
            "**CIFAR-100**, scale `cpu`, smaller than the paper's, start: scratch. "
            "Percent; ± is half the 95 % t-interval of the mean over seeds.",
            "",
            "| method | coarse top-1 | fine recall@1 | training "
            "| *paper, full size*: coarse top-1 | *paper, full size*: fine recall@1 |",
            "| --- | ---: | ---: | ---: | ---: | ---: |",
            "| chance | 5.00 | 0.99 |  |  |  |",
            "| Base (`coarse`) | 60.00 (1 seed) | 32.50 ± 6.35 | 25 min | 85.60 | 37.06 |",
            "| Base-Indi_eff (`coins`) |  | 41.00 ± 2.48 | 25 min |  |  |",
            "| Fine (`fine`) |  | 50.00 (1 seed) | 25 min |  | 71.77 |",
            "| `mine` |  | 44.00 (1 seed) | 25 min |  |  |",
            "",
            "- Base-Indi_eff (`coins`): chosen by fine labels.",
            "",
            "Measured on a processor; torch 2.15.0; 2026-01-02.",
        ]
    )


def test_scales_and_starts_never_share_a_column(results: list[Result]) -> None:
    more = [
        result("coarse", "fine_recall@1", [55.0], start="imagenet"),
        result("coarse", "fine_recall@1", [37.1], scale="full"),
    ]
    text = render([*results, *more])
    assert text.count("| method |") == 3
    full = render([*results, *more], scale="full")
    assert "*paper, full size*" not in full
    assert "| Base (`coarse`) | 37.10 (1 seed) | 25 min | 37.06 |" in full


def test_selection(results: list[Result]) -> None:
    other = result("coarse", "fine_recall@1", [70.0], dataset="Pets", split="val")
    assert "70.00" not in render([*results, other])
    assert "70.00" in render([*results, other], dataset="Pets", split="val")
    assert "coarse top-1" not in render(results, metrics=["fine_recall@1"])
    assert render(results, rows=["fine", "coarse"]).index("`fine`") < render(results, rows=["fine"]).index("`coarse`")
    with pytest.raises(
        RunError, match=r"^no result for dataset 'SOP', split 'test'; there are .*: dataset 'CIFAR-100'"
    ):
        render(results, dataset="SOP")


def test_published_figures_can_come_from_elsewhere(results: list[Result]) -> None:
    assert "56.62" in render(results, published={"coins": {"fine_recall@1": 56.62}})


def test_the_text_around_the_markers_stays(tmp_path: Path, results: list[Result]) -> None:
    document = tmp_path / "README.md"
    document.write_text("# A\n<!-- results:CIFAR-100 -->\nold\n<!-- /results:CIFAR-100 -->\nrest\n")
    update_document(document, results)
    table = render(results)
    expected = f"# A\n<!-- results:CIFAR-100 -->\n\n{table}\n\n<!-- /results:CIFAR-100 -->\nrest\n"
    assert document.read_text() == expected


def test_figures_that_a_choice_was_made_by(tmp_path: Path, results: list[Result]) -> None:
    document = tmp_path / "page.md"
    name = "CIFAR-100 (validation)"
    document.write_text(f"<!-- results:{name} --><!-- /results:{name} -->")
    chosen = result("lambda=0.1", "effective_rank", [12.5], split="validation", published=None)
    update_document(document, [*results, chosen])
    assert "12.50" in document.read_text()
    assert "`coarse`" not in document.read_text()


def test_every_table_of_a_document_is_renewed(tmp_path: Path, results: list[Result]) -> None:
    document = tmp_path / "README.md"
    pets = result("coarse", "fine_recall@1", [85.0], dataset="Pets")
    names = ("CIFAR-100", "Pets")
    document.write_text("\n".join(f"<!-- results:{name} -->\n<!-- /results:{name} -->" for name in names))
    assert stale_tables(document, [*results, pets])
    assert update_document(document, [*results, pets])
    text = document.read_text()
    assert render(results) in text
    assert "**Pets**" in text
    assert not stale_tables(document, [*results, pets])
    assert not update_document(document, [*results, pets])
    assert stale_tables(document, [*results, result("coarse", "fine_recall@1", [86.0], dataset="Pets")])
    with pytest.raises(RunError, match=r"no result for .*Pets"):
        update_document(document, results)
    assert document.read_text() == text
    document.write_text("# no table")
    with pytest.raises(RunError, match="no place for a table"):
        update_document(document, results)


def test_two_figures_for_one_cell_are_not_mixed(results: list[Result]) -> None:
    """Other protocols have tables of their own, which say so; else it is told how the two differ."""
    other = result("coarse", "fine_recall@1", [85.0], protocol="query and gallery")
    text = render([*results, other])
    assert text.count("| method |") == 2
    assert text.index("**CIFAR-100**, leave-one-out") < text.index("**CIFAR-100**, query and gallery")
    assert text.index("32.50") < text.index("query and gallery") < text.index("85.00")
    assert "leave-one-out" not in render([*results, other], protocol="query and gallery")
    with pytest.raises(RunError, match="papers 001 and 002, tables '2' and '2'; choose one"):
        render([*results, result("coarse", "fine_recall@1", [85.0], paper="002")])


def test_protocols_that_tell_different_rows_share_a_table(results: list[Result]) -> None:
    other = result("baseline", "fine_recall@1", [20.0], protocol="fine labels alone")
    assert render([*results, other]).count("| method |") == 1


def test_what_names_fine_classes_is_judged_by_its_mistakes() -> None:
    """Papers 002 and 003: columns of the hierarchy, each with its unit and direction, and the rows in their order."""
    rows = ("oracle", "min-pool[softmin=1]", "any-level", "min-pool", "baseline")
    lines = [
        result(row, metric, [1.5, 1.75], paper="002", published=None, floor=1.94)
        for row in rows
        for metric in ("fine_recall@8", "mistake_severity", "fine_top1", "hierarchical_distance@5", "level_consistency")
    ]
    head, _, chance, *body = [line for line in render(lines).splitlines() if line.startswith("|")]
    assert head == (
        "| method | fine top-1 | level consistency | mistake severity, levels (lower is better) | "
        "hierarchical distance@5, levels (lower is better) | training |"
    )
    assert chance.startswith("| chance | 1.94 | 1.94 | 1.94 | 1.94 |")
    names = ("Baseline, fine-labelled images only", "MinPool", "MinPool", "Any level", "Oracle, fine labels for all")
    assert [line.split(" (`")[0].removeprefix("| ") for line in body] == list(names)
    assert "| MinPool (`min-pool[softmin=1]`) |" in body[2]
    assert "Percent where no other unit is named; ±" in render(lines)
    assert "effective rank, dimensions" in render(
        [result("coarse", "effective_rank", [9.0])], metrics=["effective_rank"]
    )


def test_a_floor_that_differs_from_row_to_row_stands_in_the_cell() -> None:
    """Paper 000: what guessing among the children scores depends on how well a method names coarse classes."""
    lines = [
        result(row, metric, [value, value], paper="000", published=None, floor=floor)
        for row, metric, value, floor in (
            ("bigspn[improved]", "fine_top1_restricted", 44.0, 36.5),
            ("bigspn", "fine_top1_restricted", 42.0, 35.0),
            ("transfer", "fine_top1_restricted", 30.0, 34.0),
            ("transfer", "fine_top1_open", 29.0, 1.0),
            ("bigspn", "fine_top1_open", 41.0, 1.0),
            ("bigspn", "fine_top1_nonsingleton", 33.0, 28.0),
        )
    ]
    head, _, chance, *body = [line for line in render(lines).splitlines() if line.startswith("|")]
    assert head == ("| method | fine top-1 restricted | fine top-1 open | fine top-1 among siblings | training |")
    assert chance == "| chance |  | 1.00 | 28.00 |  |"
    assert body == [
        "| Domain adaptation (`transfer`) | 30.00 ± 0.00, floor 34.00 | 29.00 ± 0.00 |  | 25 min |",
        "| BigSPN (`bigspn`) | 42.00 ± 0.00, floor 35.00 | 41.00 ± 0.00 | 33.00 ± 0.00 | 25 min |",
        "| BigSPN (`bigspn[improved]`) | 44.00 ± 0.00, floor 36.50 |  |  | 25 min |",
    ]


def test_own_figures_make_no_claim_of_scale() -> None:
    text = render([result("coarse", "fine_recall@1", [85.0], scale="own", published=None)])
    assert "scale `own`, start: scratch" in text
    assert "paper" not in text


@pytest.mark.parametrize(
    "text",
    [
        "<!-- results:CIFAR-100 -->",
        "<!-- /results:CIFAR-100 -->\n<!-- results:CIFAR-100 -->",
        "<!-- results:CIFAR-100 --><!-- results:CIFAR-100 --><!-- /results:CIFAR-100 -->",
    ],
)
def test_markers_must_be_there_once(tmp_path: Path, text: str, results: list[Result]) -> None:
    document = tmp_path / "README.md"
    document.write_text(text)
    with pytest.raises(RunError, match="need one line <!-- results:CIFAR-100 -->"):
        update_document(document, results)
    assert document.read_text() == text
    with pytest.raises(RunError, match="no such file"):
        stale_tables(tmp_path / "absent.md", results)


def test_a_note_that_all_rows_share_is_told_once(results: list[Result]) -> None:
    noted = [each.model_copy(update={"notes": "on a busy machine"}) for each in results]
    text = render(noted)
    assert text.count("on a busy machine") == 1
    assert text.splitlines()[-1].endswith("; on a busy machine.")
    one = noted[0].model_copy(update={"notes": "a leak"})
    assert "- " in render([one, *(each for each in noted[1:] if each.row != one.row)])
