"""Metrics, labels and splits in plain words, for readers who do not know the field's."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from linnet.explain.scores import readable
from linnet.methods import method_class
from linnet.methods.base import Need
from linnet.report.series import Measured, Series
from linnet.training.data import TrainingData

__all__ = ["cited", "explained", "key_metrics", "learned_from", "never_seen", "part_played"]

_LONGEST = 60
"""Letters of a name on a page."""

_RULES: tuple[tuple[str, str], ...] = (
    (r"fine_top1_restricted_nonsingleton", "as restricted, over images whose coarse class has several {fine} classes"),
    (r"fine_top(\d+)_restricted", "the right {fine} class is {among} among those under the {coarse} class it names"),
    (r"fine_top(\d+)_open", "the right {fine} class is {among}, of all {fine} classes"),
    (r"fine_top1_oracle_coarse_nonsingleton", "as with the {coarse} class told, over classes that have siblings"),
    (r"fine_top1_oracle_coarse", "the right {fine} class is named once the true {coarse} class is told"),
    (r"fine_top1_uniform_child", "its {coarse} class, then any {fine} class under it by lot: knows no {fine} class"),
    (r"fine_top1_largest_child", "its {coarse} class, then the commonest {fine} class under it: knows no {fine} class"),
    (r"fine_top1_nonsingleton", "the right {fine} class is named, over images whose {coarse} class has several"),
    (r"fine_top1_neighbour", "what a nearest neighbour would score with {fine} labels for training images"),
    (r"fine_top1_seen", "named right, over {fine} classes that had labels"),
    (r"fine_top1_unseen", "named right, over {fine} classes that had none"),
    (r"fine_top1_harmonic", "harmonic mean of seen and unseen"),
    (r"coarse_top1_implied", "the {coarse} class above the {fine} class named is right"),
    (r"level_consistency", "the {fine} class named lies under the {coarse} class named"),
    (r"(coarse|fine)_top(\d+)", "the right {role} class is {among}"),
    (r"fine_recall@(\d+)_within", "the same, searched among images of the query's own {coarse} class only"),
    (r"(coarse|fine|level:.+)_recall@(\d+)", "the nearest image is of the same {role} class; @k: one of the k nearest"),
    (r"mistake_severity", "how far wrong answers are from the truth, in steps up the hierarchy: 1 is a sibling"),
    (r"hierarchical_distance@(\d+)", "how far the first k answers are from the truth on average, right ones too"),
    (r"effective_rank", "how many directions the embedding uses within {coarse} classes; needs no label finer"),
    (r"attention_overlap", "how much the places that two members look at overlap; floor: maps of different images"),
    (r"attention_correlation", "how alike the maps of two members are; floor: maps of different images"),
)
_KEY = (
    *("fine_top1_restricted", "fine_top1", "fine_recall@1", "fine_recall@1_within"),
    *("coarse_top1", "coarse_recall@1"),
)


def explained(metric: str, data: TrainingData) -> str:
    """What a metric counts, in a few words; '' for one that is not known."""
    levels = data.manifest.taxonomy.levels
    names = {"coarse": levels[data.coarse], "fine": levels[data.fine]}
    for pattern, text in _RULES:
        if found := re.fullmatch(pattern, metric):
            k = next((int(group) for group in found.groups() if group and group.isdigit()), 1)
            if k > 1 and "@" in metric:
                return ""  # the text of @1 says it
            role = found[1] if found.groups() and not found[1].isdigit() else ""
            among = "named" if k == 1 else f"among the {k} likeliest"
            told = names.get(role, role.removeprefix("level:"))
            return text.format(**names, among=among, role=told)
    return ""


def key_metrics(metrics: Sequence[str], needs: frozenset[Need], most: int = 4) -> list[str]:
    """The figures that a reader wants first, at most four, of those there are."""
    there = [each for each in _KEY if each in metrics]
    if Need.ATTRIBUTES not in needs and "fine_top1_restricted" in there:
        there.remove("fine_top1_restricted")
    return there[:most]


def learned_from(measured: Measured) -> str:
    """How many images a run learned from, and which of their labels."""
    data, needs = measured.data, method_class(measured.run.recipe.method).needs
    targets = data.manifest.targets[data.rows["train"]]
    taxonomy, total = data.manifest.taxonomy, len(targets)
    coarse, fine = (f"{taxonomy.count(level):,} {taxonomy.levels[level]}" for level in (data.coarse, data.fine))
    known = int(np.count_nonzero(targets[:, data.fine] >= 0))
    images = f"{total:,} images"
    if not needs:
        return f"{images} without any label"
    if Need.TEACHER in needs:
        return f"{images} and the answers of a finished run (the teacher)"
    if Need.ATTRIBUTES in needs:
        assert data.manifest.attributes is not None
        width = data.manifest.attributes.values.shape[1]
        seen = f", {int(data.seen.sum())} of which had labelled images" if data.seen is not None else ""
        described = f"a description of {width} numbers for each of {fine} classes{seen}"
        return f"{images} labelled with {coarse} classes, and {described}"
    if Need.ALL_FINE in needs:
        return f"{images}, all labelled with {fine} classes"
    if Need.SOME_FINE in needs:
        return f"{images} labelled with {coarse} classes, {known:,} of them also with {fine} classes"
    if Need.ANY_LEVEL in needs:
        return f"{images}, each labelled as finely as is known, {known:,} of them with {fine} classes"
    return f"{images} labelled with {coarse} classes"


def never_seen(measured: Measured) -> str:
    """What a reader may trust a run not to have looked at; '' where it saw all."""
    data, recipe = measured.data, measured.run.recipe
    needs = method_class(recipe.method).needs
    if data.coarse == data.fine or needs & {Need.ALL_FINE, Need.SOME_FINE, Need.ANY_LEVEL, Need.TEACHER}:
        return ""
    if data.seen is not None:
        return ""
    level = data.manifest.taxonomy.levels[data.fine]
    if recipe.fine_selection:
        return f"No {level} label was used in training; labels of validation images chose the epoch"
    return f"No {level} label was used in training or in the choice of the epoch"


def part_played(split: str, series: Sequence[Series]) -> str:
    """What the images that figures are of had to do with training, as the end of a sentence about them."""
    if split == "train":
        return "which the runs learned from: what they know by heart, not what they would say of other images"
    chosen = [each for each in series if each.recipe.select_on == split]
    if not chosen:
        return "which had no part in training or in the choice of the epoch"
    whose = "" if len(chosen) == len(series) else f" of {', '.join(each.name for each in chosen)}"
    steered = " and lowered the learning rate" if any(each.recipe.schedule == "plateau" for each in chosen) else ""
    return (
        f"none of which was learned from, but these images chose the epoch{whose}{steered}, which flatters the figures"
    )


def cited(name: str) -> str:
    """A class's or an image's name as a reader writes it, cut where it is very long: a page has room for many."""
    told = readable(name)
    return told if len(told) <= _LONGEST else told[: _LONGEST - 1] + "…"
