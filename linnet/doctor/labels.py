"""Findings on labels and splits: blanks, depth, balance, and classes that one split has and another lacks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from linnet.doctor.findings import Code, Finding, Item, Severity, finding
from linnet.manifest import Manifest

__all__ = ["IMBALANCE", "label_findings"]

IMBALANCE = 10.0
"""Images of the largest class over those of the smallest, at one level, from which on classes are out of balance."""

_TRAIN, _TEST = "train", "test"


def label_findings(manifest: Manifest) -> list[Finding]:
    """What is wrong or odd with labels and splits."""
    return [
        *_split_findings(manifest),
        *_blank_findings(manifest),
        *_tree_findings(manifest),
        *_count_findings(manifest),
    ]


def _split_findings(manifest: Manifest) -> list[Finding]:
    if not manifest.split_names:
        return []
    without = np.flatnonzero(manifest.split_codes < 0)
    found = finding(
        Code.SPLIT_MISSING,
        Severity.ERROR,
        "images without a split, while others have one: {n}",
        "Fill in the column split for them; training refuses to guess.",
        _rows(without),
    )
    named = ", ".join(manifest.split_names)
    if _TRAIN not in manifest.split_names or not len(manifest.rows(_TRAIN)):
        advice = f"Call one of the splits train; there are {named}."
        found.append(Finding(Code.NO_TRAINING_SPLIT, Severity.ERROR, "no image is in the split train", advice))
    elif manifest.split_names == (_TRAIN,):
        advice = "Put some images of every class into the split test: figures on images chosen by are too high."
        found.append(
            Finding(Code.NO_TEST_SPLIT, Severity.NOTE, "all images are in train; nothing is left to test", advice)
        )
    return found


def _blank_findings(manifest: Manifest) -> list[Finding]:
    levels, known = manifest.taxonomy.levels, manifest.targets >= 0
    found = finding(
        Code.UNLABELLED,
        Severity.WARNING,
        "images without any label: {n}",
        "Label them, or leave them out; of the methods only instance learns from images without a label.",
        _rows(np.flatnonzero(~known.any(1))),
    )
    for level, name in enumerate(levels):
        blank = np.flatnonzero(~known[:, level] & known.any(1))
        if len(blank) and known[:, level].any():
            found += finding(
                Code.BLANK_LABELS,
                Severity.NOTE,
                f"images whose {name} label is blank: {{n}} ({100 * len(blank) / len(known):.1f} %)",
                "That is allowed: methods min-pool and any-level learn from such images, too. Fill in what is known.",
                _rows(blank),
            )
    return found


def _tree_findings(manifest: Manifest) -> list[Finding]:
    tree, last = manifest.taxonomy, len(manifest.taxonomy.levels) - 1
    shallow = [(level, number) for level, number in tree.leaves if level < last]
    found = finding(
        Code.UNEQUAL_DEPTH,
        Severity.NOTE if len(shallow) < sum(map(len, tree.classes[:last])) else Severity.WARNING,
        "classes without a finer class under them, while others have some: {n}",
        "Give each a finer class, or use method any-level; min-pool and the methods that learn from descriptions need "
        "a fine class under every coarse one.",
        [Item(f"{tree.levels[level]} {tree.classes[level][n]}", (), (tree.classes[level][n],)) for level, n in shallow],
    )
    for level in range(last):
        parents = np.asarray(tree.parents[level + 1], np.int64)
        single = np.flatnonzero(np.bincount(parents, minlength=tree.count(level)) == 1).tolist()
        child = {int(parent): tree.classes[level + 1][number] for number, parent in enumerate(parents)}
        found += finding(
            Code.ONLY_CHILD,
            Severity.NOTE,
            f"{tree.levels[level]} classes with a single {tree.levels[level + 1]} class: {{n}}",
            "Their children are named for nothing once the coarse class is right; read figures with that in mind.",
            [
                Item(f"{tree.classes[level][n]} has only {child[n]}", (), (tree.classes[level][n], child[n]))
                for n in single
            ],
        )
    return found


def _count_findings(manifest: Manifest) -> list[Finding]:
    found: list[Finding] = []
    counted = _by_split(manifest)
    for level, name in enumerate(manifest.taxonomy.levels):
        every = np.sum([counts[level] for counts in counted.values()], axis=0)
        train = next((counted[split][level] for split in (_TRAIN, "") if split in counted), every)
        if manifest.taxonomy.count(level) == 1:
            title = f"all images are of one {name} class, {manifest.taxonomy.classes[level][0]}"
            found.append(
                Finding(Code.ONE_CLASS, Severity.WARNING, title, "There is nothing to tell apart at this level.")
            )
        found += _sizes(manifest, level, train)
        found += _sides(manifest, level, counted, every)
    return found


def _sizes(manifest: Manifest, level: int, train: NDArray[np.int64]) -> list[Finding]:
    """Classes with one training image, and imbalance."""
    name, classes = manifest.taxonomy.levels[level], manifest.taxonomy.classes[level]
    present = train[train > 0]
    found = finding(
        Code.SINGLETON,
        Severity.WARNING,
        f"{name} classes with a single training image: {{n}}",
        "Add images: with one, nothing shows what the class has in common, and none can be kept back to validate on.",
        [
            Item(classes[number], _first_rows(manifest, level, number), (classes[number],))
            for number in np.flatnonzero(train == 1).tolist()
        ],
    )
    if len(present) > 1 and present.max() >= IMBALANCE * present.min():
        order = [number for number in np.argsort(train, kind="stable").tolist() if train[number]]
        largest = order[-1]
        title = (
            f"{name} classes are out of balance: {classes[largest]} has {train[largest]:,} training images, "
            f"{classes[order[0]]} {train[order[0]]:,}"
        )
        items = tuple(
            Item(f"{classes[n]}: {train[n]:,}", (), (classes[n],))
            for n in order
            if train[n] * IMBALANCE <= train[largest]
        )
        advice = "Accuracy is then mostly that of the large classes: read figures class by class, or add images."
        found.append(Finding(Code.IMBALANCE, Severity.WARNING, title, advice, items))
    return found


def _sides(
    manifest: Manifest, level: int, counted: dict[str, list[NDArray[np.int64]]], every: NDArray[np.int64]
) -> list[Finding]:
    """Classes without images, or with images in test alone, or in train alone."""
    name, classes = manifest.taxonomy.levels[level], manifest.taxonomy.classes[level]

    def items(mask: NDArray[np.bool_], rows: bool) -> list[Item]:
        return [
            Item(classes[n], _first_rows(manifest, level, n) if rows else (), (classes[n],))
            for n in np.flatnonzero(mask).tolist()
        ]

    found = finding(
        Code.EMPTY_CLASS,
        Severity.NOTE,
        f"{name} classes without an image: {{n}}",
        "Nothing is learnt of them; leave them out of the hierarchy, or add images.",
        items(every == 0, rows=False),
    )
    if _TRAIN not in counted or _TEST not in counted:
        return found
    train, test = counted[_TRAIN][level], counted[_TEST][level]
    if train.any():
        found += finding(
            Code.CLASS_WITHOUT_TRAINING,
            Severity.WARNING,
            f"{name} classes with test images but no training image: {{n}}",
            "Put some of their images into train; without one a class is found by its description, or not at all.",
            items((train == 0) & (test > 0), rows=True),
        )
    if test.any():
        found += finding(
            Code.CLASS_WITHOUT_TEST,
            Severity.NOTE,
            f"{name} classes with training images but no test image: {{n}}",
            "Put some of their images into test; else no figure says how well they are told.",
            items((train > 0) & (test == 0), rows=True),
        )
    return found


def _by_split(manifest: Manifest) -> dict[str, list[NDArray[np.int64]]]:
    """Images of every class, level by level, in each split; '' stands for images without one."""
    found: dict[str, list[NDArray[np.int64]]] = {}
    for code in np.unique(manifest.split_codes).tolist():
        targets = manifest.targets[manifest.split_codes == code]
        found[manifest.split_names[code] if code >= 0 else ""] = [
            np.bincount(column[column >= 0], minlength=len(classes))
            for column, classes in zip(targets.T, manifest.taxonomy.classes, strict=True)
        ]
    return found


def _first_rows(manifest: Manifest, level: int, number: int) -> tuple[int, ...]:
    return tuple(np.flatnonzero(manifest.targets[:, level] == number)[:1].tolist())


def _rows(rows: NDArray[np.int64]) -> list[Item]:
    return [Item("", (row,)) for row in rows.tolist()]
