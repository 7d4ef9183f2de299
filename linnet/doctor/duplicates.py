"""The same picture more than once: the same bytes, or nearly the same look, within a split or a class and across."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from linnet import files
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


@dataclass(frozen=True, slots=True)
class Same:
    """Rows that show one picture: a group of equal files, and if `other` is not empty, a second group like it."""

    rows: tuple[int, ...]
    other: tuple[int, ...] = ()
    correlation: float = 1.0

    @property
    def all_rows(self) -> tuple[int, ...]:
        """The rows of both."""
        return self.rows + self.other


def exact_groups(manifest: Manifest, scan: Scan) -> tuple[NDArray[np.int64], list[tuple[int, ...]]]:
    """Rows whose files are equal byte by byte; of arrays, whose pixels are. Broken images count nowhere.

    Returns:
        The first row of every distinct image, ascending, and the rows of each that is there more than once.
    """
    rows = np.flatnonzero(scan.whole)
    starts = np.ascontiguousarray(scan.digests[rows, :8]).view(np.uint64).ravel()
    order = np.argsort(starts, kind="stable")
    again = np.zeros(len(rows) + 1, bool)  # whether an image begins as the one before it
    again[1:-1] = np.diff(starts[order]) == 0
    # Only where the first bytes are equal is there anything to compare, and an object to make.
    met: dict[bytes, list[int]] = defaultdict(list)
    for row in np.sort(rows[order[again[:-1] | again[1:]]]).tolist():
        met[scan.digests[row].tobytes()].append(row)
    alike = (group for group in met.values() if len(group) > 1)
    groups = sorted(tuple(group) for each in alike for group in _equal(manifest, each) if len(group) > 1)
    later = [row for group in groups for row in group[1:]]
    return np.setdiff1d(rows, later, assume_unique=True), groups


def _equal(manifest: Manifest, rows: list[int]) -> list[list[int]]:
    """Rows of one digest by the whole of their files, which are read again; those of arrays are equal."""
    if manifest.pixels is not None:
        return [rows]
    found: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        try:
            found[files.digest(manifest.path(row))].append(row)
        except OSError:  # it went meanwhile
            continue
    return list(found.values())


def near_duplicates(scan: Scan, firsts: NDArray[np.int64], groups: list[tuple[int, ...]]) -> list[Same]:
    """Pairs of distinct images that look the same: scaled, compressed anew, a little brighter. The nearest come first.

    Images of one even tone are not compared. Mirrored and cropped copies are not found.

    Args:
        firsts, groups: as `exact_groups` gives them.

    Raises:
        TooManyError: so many images look alike that pairs say nothing.
    """
    used = firsts[~flat(scan.looks, firsts)]
    rows_of = {group[0]: group for group in groups}
    found: list[Same] = []
    for pairs in near_pairs(codes(scan.looks, used), RADIUS):
        ones, others = used[pairs.ones], used[pairs.others]
        kept, correlation = alike(scan.looks, ones, others)
        if len(found) + int(kept.sum()) > _MOST_PAIRS:
            raise TooManyError
        for one, other, likeness in zip(
            ones[kept].tolist(), others[kept].tolist(), correlation[kept].tolist(), strict=True
        ):
            found.append(Same(rows_of.get(one, (one,)), rows_of.get(other, (other,)), min(1.0, likeness)))
    return sorted(found, key=lambda same: (-same.correlation, same.rows, same.other))


def duplicate_findings(manifest: Manifest, scan: Scan) -> tuple[list[Finding], list[Same]]:
    """Findings on equal and on nearly equal images, and all cases of them, the gravest first, to show."""
    firsts, groups = exact_groups(manifest, scan)
    exact = [Same(group) for group in groups]
    findings = _told(manifest, exact, _EQUAL, "equal images")
    try:
        near = near_duplicates(scan, firsts, groups)
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
