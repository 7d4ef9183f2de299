"""A metric over the share of images with a fine label: from results to a table and to the points of a figure.

A result tells its share in the name of its data set: "CIFAR-100, 10 % fine labels" belongs to the curve of "CIFAR-100",
and so do "CIFAR-100, half fine labels" and "CIFAR-100, all fine labels"; without such an ending it is all, too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from linnet.errors import RunError, nearest
from linnet.report.labels import cell, heading, in_order, row_name
from linnet.report.results import Result

__all__ = ["Curves", "curve_table", "gather_curves", "label_share"]

_SHARE = re.compile(r"(.+), (?:(\d+(?:\.\d+)?) %|half|(all)) fine labels")


@dataclass(frozen=True)
class Curves:
    """A metric of some methods over the share of fine labels.

    Attributes:
        metric: its name in results.
        rows: by row, in the order of tables, the result at each share (percent, 0 to 100), ascending.
    """

    metric: str
    rows: dict[str, dict[float, Result]]

    @property
    def shares(self) -> list[float]:
        """Every share that a row has, ascending."""
        return sorted({share for points in self.rows.values() for share in points})

    @property
    def floor(self) -> float | None:
        """What chance scores: of all points alike, else None."""
        floors = {result.floor for points in self.rows.values() for result in points.values()}
        return floors.pop() if len(floors) == 1 else None


def label_share(dataset: str) -> tuple[str, float]:
    """The data set without its share, and the share in percent: 100 where the name tells none."""
    found = _SHARE.fullmatch(dataset)
    if found is None:
        return dataset, 100.0
    return found[1], float(found[2] or (100 if found[3] else 50))


def gather_curves(
    results: Sequence[Result],
    dataset: str,
    metric: str = "fine_top1",
    *,
    protocol: str | None = None,
    scale: str | None = None,
    split: str = "test",
) -> Curves:
    """The curves of a data set, which is named without a share.

    Args:
        results: as `read_results` gives them.
        dataset: such as "CIFAR-100".
        metric: which figure.
        protocol: only protocols that hold this text, such as the name of a net.
        scale: only this scale.
        split: where it was measured.

    Raises:
        RunError: no such result (names the nearest data set), no curve, or two figures for one point (how they differ).
    """
    kept = [
        each
        for each in results
        if (each.metric, each.split) == (metric, split)
        and label_share(each.dataset)[0] == dataset
        and (protocol is None or protocol in each.protocol)
        and scale in (None, each.scale)
    ]
    if not kept:
        there = sorted({label_share(each.dataset)[0] for each in results if label_share(each.dataset)[1] < 100})
        near = nearest(dataset, there) or f"; curves are there for {', '.join(there) or 'none'}"
        raise RunError(f"no {metric} of {dataset!r} on the split {split!r} for a curve{near}")
    rows: dict[str, dict[float, Result]] = {row: {} for row in in_order(each.row for each in kept)}
    for each in kept:
        share = label_share(each.dataset)[1]
        other = rows[each.row].setdefault(share, each)
        if other is not each:
            told = "; ".join(f"{one.protocol!r}, scale {one.scale}, start {one.start}" for one in (other, each))
            raise RunError(
                f"two figures for {each.row!r} at {share:g} % fine labels ({told}); choose by protocol or scale"
            )
    curves = Curves(metric, {row: dict(sorted(points.items())) for row, points in rows.items()})
    if len(curves.shares) < 2:
        raise RunError(f"{dataset!r}: one share of fine labels, {curves.shares[0]:g} %, is no curve")
    return curves


def curve_table(curves: Curves) -> str:
    """A Markdown table: a row a method, a column a share; mean, and half the 95 % t-interval with two seeds or more."""
    shares = curves.shares
    head = [f"{heading(curves.metric)}, with fine labels for", *(f"{share:g} %" for share in shares)]
    lines = [head, ["---", *["---:"] * len(shares)]]
    if curves.floor is not None:
        lines.append(["chance", *[f"{curves.floor:.2f}"] * len(shares)])
    for row, points in curves.rows.items():
        lines.append([row_name(row), *(cell(points.get(share)) for share in shares)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
