"""Findings on descriptions of classes: whom they lack, and whom they do not tell apart."""

from __future__ import annotations

from linnet.doctor.findings import Code, Finding, Item, Severity, finding
from linnet.manifest import Manifest
from linnet.metrics.descriptions import Separation, separation
from linnet.training.descriptions import class_attributes, undescribed

__all__ = ["CLOSE", "description_findings", "told_apart"]

CLOSE = 0.95
"""Cosine, of centred descriptions, from which on siblings are hard to tell apart; as in `linnet attributes`."""


def told_apart(manifest: Manifest, coarse: int, fine: int) -> Separation | None:
    """How far descriptions tell siblings apart; None where there are none, or not of every class."""
    if manifest.attributes is None or undescribed(manifest, coarse, fine):
        return None
    _, vectors = class_attributes(manifest, coarse, fine)
    tree = manifest.taxonomy
    return separation(vectors.numpy(), tree.ancestor(fine, coarse), tree.count(coarse), CLOSE)


def description_findings(manifest: Manifest, coarse: int, fine: int) -> list[Finding]:
    """What is wrong or odd with an attributes table; nothing where there is none."""
    table = manifest.attributes
    if table is None:
        return []
    lacking = undescribed(manifest, coarse, fine)
    found = finding(
        Code.UNDESCRIBED,
        Severity.WARNING,
        "classes that the attributes table does not describe: {n}",
        "Add a row for each; without them no method can learn from descriptions.",
        [Item(name) for name in lacking],
    )
    silent = [name for name, row in zip(table.names, table.values, strict=True) if not row.any()]
    found += finding(
        Code.EMPTY_DESCRIPTION,
        Severity.WARNING,
        "classes whose description is all 0: {n}",
        "Describe them, or take their rows out of the table.",
        [Item(name, (), (name,)) for name in silent],
    )
    apart = told_apart(manifest, coarse, fine)
    if apart is None or coarse == fine:
        return found
    low = manifest.taxonomy.classes[fine]
    pairs = sorted((pair for family in apart.families for pair in family.alike), key=lambda pair: -pair[2])
    found += finding(
        Code.ALIKE_SIBLINGS,
        Severity.WARNING,
        "pairs of sibling classes that are described alike: {n}",
        "No method that learns from descriptions tells them apart: describe in what they differ. "
        "More in: linnet attributes",
        [
            Item(f"{low[one]} and {low[other]} (cosine {cosine:.2f})", (), (low[one], low[other]))
            for one, other, cosine in pairs
        ],
    )
    if apart.constant:
        title = f"attributes that are the same for all classes: {len(apart.constant)} of {apart.attributes}"
        items = tuple(Item(table.columns[number]) for number in apart.constant)
        found.append(
            Finding(Code.CONSTANT_ATTRIBUTE, Severity.NOTE, title, "They tell nothing, and do no harm.", items)
        )
    return found
