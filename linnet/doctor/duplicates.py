"""The same picture more than once: the same bytes, or nearly the same look, within a split or a class and across."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from linnet.doctor.findings import Code, Finding, Item, Severity, finding
from linnet.doctor.looks import alike, codes, flat
from linnet.doctor.near import TooManyError, near_pairs
from linnet.doctor.scan import Scan
from linnet.manifest import Manifest

__all__ = ["RADIUS", "Same", "duplicate_findings", "exact_groups", "near_duplicates"]

RADIUS = 8
"""Bits, of 64, in which the codes of near duplicates may differ; a close compare of what is found decides."""

_MOST_PAIRS = 1_000_000

_EQUAL = (
    (Code.DUPLICATE_LEAK, Severity.ERROR),
    (Code.DUPLICATE_CONFLICT, Severity.ERROR),
    (Code.DUPLICATE, Severity.WARNING),
)
_NEAR = (
    (Code.NEAR_DUPLICATE_LEAK, Severity.WARNING),
    (Code.NEAR_DUPLICATE_CONFLICT, Severity.WARNING),
    (Code.NEAR_DUPLICATE, Severity.NOTE),
)
"""Of leaks, of contradicting labels, and of what is merely there twice."""

_Kinds = tuple[tuple[Code, Severity], tuple[Code, Severity], tuple[Code, Severity]]


@dataclass(frozen=True)
class Same:
    """Rows that show one picture: a group of equal files, and if `other` is not empty, a second group like it."""

    rows: tuple[int, ...]
    other: tuple[int, ...] = ()
    correlation: float = 1.0

    @property
    def all_rows(self) -> tuple[int, ...]:
        """The rows of both."""
        return self.rows + self.other


def exact_groups(scan: Scan) -> list[tuple[int, ...]]:
    """Rows whose files are equal byte by byte (of arrays: whose pixels are), each row once; groups of one, too.

    Broken images are in none.
    """
    rows = np.flatnonzero(scan.whole)
    digests = np.ascontiguousarray(scan.digests[rows]).view("V32").ravel()
    _, inverse = np.unique(digests, return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    starts = np.flatnonzero(np.diff(inverse[order], prepend=-1))
    groups = [tuple(group.tolist()) for group in np.split(rows[order], starts[1:])] if len(rows) else []
    return sorted(groups)


def near_duplicates(scan: Scan, groups: list[tuple[int, ...]]) -> list[Same]:
    """Pairs of groups whose images look the same: scaled, compressed anew, a little brighter. The nearest come first.

    Images of one even tone are not compared. Mirrored and cropped copies are not found.

    Raises:
        TooManyError: so many images look alike that pairs say nothing.
    """
    firsts = np.array([group[0] for group in groups], np.int64)
    used = np.flatnonzero(~flat(scan.looks[firsts])) if len(firsts) else firsts
    looks = scan.looks[firsts[used]]
    found: list[Same] = []
    for pairs in near_pairs(codes(looks), RADIUS):
        kept, correlation = alike(looks[pairs.ones], looks[pairs.others])
        for one, other, likeness in zip(
            used[pairs.ones[kept]].tolist(),
            used[pairs.others[kept]].tolist(),
            correlation[kept].tolist(),
            strict=True,
        ):
            found.append(Same(groups[one], groups[other], min(1.0, likeness)))
        if len(found) > _MOST_PAIRS:
            raise TooManyError
    return sorted(found, key=lambda same: (-same.correlation, same.rows, same.other))


def duplicate_findings(manifest: Manifest, scan: Scan) -> tuple[list[Finding], list[Same]]:
    """Findings on equal and on nearly equal images, and all cases of them, the gravest first, to show."""
    groups = exact_groups(scan)
    exact = [Same(group) for group in groups if len(group) > 1]
    findings = _told(manifest, exact, _EQUAL, "equal images")
    try:
        near = near_duplicates(scan, groups)
    except TooManyError:
        title = "so many images look alike that near duplicates cannot be told from the rest"
        advice = "Look at some of them; frames of one film belong into one split. Equal files were found all the same."
        return [*findings, Finding(Code.TOO_ALIKE, Severity.WARNING, title, advice)], exact
    return findings + _told(manifest, near, _NEAR, "near duplicates"), exact + near


def _told(manifest: Manifest, cases: list[Same], kinds: _Kinds, called: str) -> list[Finding]:
    """Findings on leaks, on contradicting labels, and on what is merely there twice."""
    leak, conflict, plain = kinds
    leaks: list[Item] = []
    conflicts: list[Item] = []
    rest: list[Item] = []
    for same in cases:
        likeness = f" (likeness {same.correlation:.3f})" if same.other else ""
        splits, classes = tuple(dict.fromkeys(_splits(manifest, same))), _conflict(manifest, same)
        if splits:
            leaks.append(Item(f"in {' and '.join(splits)}{likeness}", same.all_rows))
        if classes:
            conflicts.append(Item(f"labelled {' and '.join(classes)}{likeness}", same.all_rows, classes))
        if not splits and not classes:
            rest.append(Item(likeness.strip(" ()"), same.all_rows))
    return [
        *finding(
            *leak,
            f"{called} across splits: {{n}}, so that figures on one split are learnt from another",
            "Take them out of one of the splits, out of train by preference; else every figure is too high.",
            leaks,
        ),
        *finding(
            *conflict,
            f"{called} under different classes: {{n}}",
            "Look at them and correct the labels: one of each is wrong, or both classes are in the picture.",
            conflicts,
        ),
        *finding(
            *plain,
            f"{called} of one class and split: {{n}}",
            "Keep one of each: copies make the training set look larger, and search answer with the same picture.",
            rest,
        ),
    ]


def _crossings(same: Same) -> Iterable[tuple[int, int]]:
    """Pairs of rows to compare: of one group each with the first, of two each of one with each of the other."""
    if same.other:
        return product(same.rows, same.other)
    return ((same.rows[0], row) for row in same.rows[1:])


def _splits(manifest: Manifest, same: Same) -> Iterator[str]:
    """Splits that the case joins, if any."""
    for one, other in _crossings(same):
        codes_ = int(manifest.split_codes[one]), int(manifest.split_codes[other])
        if codes_[0] != codes_[1] and min(codes_) >= 0:
            yield from (manifest.split_names[code] for code in codes_)


def _conflict(manifest: Manifest, same: Same) -> tuple[str, ...]:
    """The classes that contradict each other, at the coarsest level where some do."""
    for level, names in enumerate(manifest.taxonomy.classes):
        labels: NDArray[np.int64] = manifest.targets[:, level]
        met: dict[str, None] = {}
        for one, other in _crossings(same):
            if labels[one] >= 0 and labels[other] >= 0 and labels[one] != labels[other]:
                met |= {names[labels[one]]: None, names[labels[other]]: None}
        if met:
            return tuple(met)
    return ()
