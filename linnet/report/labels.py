"""What tables and figures call rows and metrics, in which order, and in what unit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from linnet.metrics.units import lower_is_better, unit
from linnet.report.results import Result, half_interval

__all__ = ["METRICS", "NAMES", "ROWS", "cell", "has_own_floor", "heading", "in_order", "metrics_of", "row_name"]

ROWS = (
    *("pixels", "coarse", "instance", "coins[all]", "coins", "fine"),
    *("baseline", "cross-entropy", "min-pool", "coarse-constraint", "any-level", "oracle"),
    *("single", "plain-ensemble", "orthogonal-ensemble", "distilled"),
    *("transfer", "fgn", "gcnz", "spaen", "vse", "cos-softmax", "ridge", "bigspn"),
)
"""The order of the rows that are known, each with its variants behind it; others follow in the order of the file."""

NAMES = {
    "pixels": "Raw pixels",
    "coarse": "Base",
    "instance": "Indi",
    "coins[all]": "Base-Indi",
    "coins": "Base-Indi_eff",
    "fine": "Fine",
    "baseline": "Baseline, fine-labelled images only",
    "cross-entropy": "Cross-entropy",
    "min-pool": "MinPool",
    "coarse-constraint": "Coarse constraint",
    "any-level": "Any level",
    "oracle": "Oracle, fine labels for all",
    "single": "Single model",
    "plain-ensemble": "Plain ensemble",
    "orthogonal-ensemble": "Orthogonal ensemble",
    "distilled": "Ensemble distilled into one model",
    "transfer": "Domain adaptation",
    "fgn": "FGN",
    "gcnz": "GCNZ",
    "spaen": "SPAEN",
    "vse": "VSE",
    "cos-softmax": "CosSoftmax",
    "ridge": "Ridge regression, the control",
    "bigspn": "BigSPN",
}
"""What the rows of papers 000 to 004 and our own are called; a variant, `row[setting]`, is called like its row."""

METRICS = (
    *("coarse_top1", "fine_top1", "coarse_recall@1"),
    *("fine_recall@1", "fine_recall@2", "fine_recall@4", "fine_recall@8", "fine_recall@1_within"),
)
"""The columns of a table where the paper asks for no others and there are results for them."""

_CLASSIFIERS = (
    *("fine_top1", "fine_top1_nonsingleton", "fine_top5", "coarse_top1", "coarse_top1_implied", "level_consistency"),
    *("mistake_severity", "hierarchical_distance@5", "fine_recall@1"),
)
_ENSEMBLES = (
    *("fine_top1", "fine_top5", "coarse_top1", "mistake_severity", "fine_recall@1"),
    *("attention_overlap", "attention_correlation"),
    *("milliseconds_per_image", "peak_memory"),
)
_DESCRIBED = (
    *("coarse_top1", "fine_top1_restricted", "fine_top5_restricted", "fine_top1_open"),
    *("fine_top1_restricted_nonsingleton", "fine_top1_nonsingleton"),
    *("fine_top1_uniform_child", "fine_top1_largest_child", "fine_top1_oracle_coarse", "fine_top1_neighbour"),
    *("fine_top1_seen", "fine_top1_unseen", "fine_top1_harmonic"),
)
_CLUSTERS = (
    *("cluster_accuracy", "cluster_nmi_within", "cluster_ari_within", "cluster_nmi", "cluster_ari"),
    *("clusters", "unclustered"),
)
_METRICS_OF = {"discover": _CLUSTERS, "000": _DESCRIBED, "002": _CLASSIFIERS, "003": _CLASSIFIERS, "004": _ENSEMBLES}
_CLUSTER_HEADINGS = {
    "cluster_accuracy": "accuracy by best matching",
    "cluster_nmi": "NMI",
    "cluster_ari": "ARI",
    "cluster_nmi_within": "NMI within coarse",
    "cluster_ari_within": "ARI within coarse",
    "clusters": "clusters, number",
    "unclustered": "in no cluster",
}
_OWN_FLOOR = {
    *("fine_top1_restricted", "fine_top5_restricted", "fine_top1_largest_child"),
    *("attention_overlap", "attention_correlation"),
}


def metrics_of(paper: str) -> tuple[str, ...]:
    """The columns that suit a paper: what names fine classes is judged by accuracy and by its mistakes."""
    return _METRICS_OF.get(paper, METRICS)


def row_name(row: str) -> str:
    """A row's name and what results call it, in Markdown."""
    name = NAMES.get(row, NAMES.get(_base(row)))
    return f"`{row}`" if name is None else f"{name} (`{row}`)"


def in_order(present: Iterable[str], rows: Sequence[str] = ROWS) -> list[str]:
    """The rows that are there, once each: as `rows` has them, the variants of each behind it, then all others."""
    there = list(dict.fromkeys(present))
    variants = [row for row in there if row not in rows]
    named = [row for known in rows for row in [known, *(each for each in variants if _base(each) == known)]]
    return [*(row for row in named if row in there), *(row for row in variants if row not in named)]


def _base(row: str) -> str:
    return row.partition("[")[0]


def has_own_floor(metric: str) -> bool:
    """Whether a metric's floor depends on the row: on its coarse class and a guess, on its members, on its clusters."""
    return metric in _OWN_FLOOR or metric.endswith("_nonsingleton") or metric.startswith("cluster_")


def cell(result: Result | None, *, floor: bool = False) -> str:
    """Mean, and with two seeds or more half the 95 % t-interval; blank for no result. `floor` puts its floor behind."""
    if result is None:
        return ""
    half = half_interval(result.values)
    text = f"{result.mean:.2f} (1 seed)" if half is None else f"{result.mean:.2f} ± {half:.2f}"
    return text if not floor or result.floor is None else f"{text}, floor {result.floor:.2f}"


def heading(metric: str) -> str:
    """A metric as a column calls it, with its unit where that is not percent, and whether lower is better."""
    if metric in _CLUSTER_HEADINGS:
        return _CLUSTER_HEADINGS[metric]
    text = re.sub(r"_top(\d+)", r" top-\1", metric)
    text = text.replace("_within", " within coarse").replace("_implied", " implied by fine")
    text = text.replace("_nonsingleton", " among siblings").replace("_", " ")
    return text + f", {unit(metric)}" * (unit(metric) != "%") + " (lower is better)" * lower_is_better(metric)
