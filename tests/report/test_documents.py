"""What the project's own documents show is what was recorded."""

from __future__ import annotations

from pathlib import Path

import pytest

from linnet.report.results import read_results
from linnet.report.tables import stale_tables

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "document",
    [
        "README.md",
        "docs/coins.md",
        "docs/ensemble.md",
        "docs/mixed-labels.md",
        "docs/descriptions.md",
        "docs/discover.md",
    ],
)
def test_tables_are_generated_from_the_record(document: str) -> None:
    results = read_results(ROOT / "docs/results/results.jsonl")
    assert results
    assert not stale_tables(ROOT / document, results), f"linnet results --update {document}"


def test_no_recorded_command_tells_where_it_ran() -> None:
    for result in read_results(ROOT / "docs/results/results.jsonl"):
        assert "/" not in result.command.split()[0]
        assert not any(word.startswith(("/", "~")) for word in result.command.split())
