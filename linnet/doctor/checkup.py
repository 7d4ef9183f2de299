"""The whole examination of a collection: findings, floors and advice, as one object and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any

import numpy as np
import pyarrow as pa

from linnet.doctor.advice import Advice, advise
from linnet.doctor.descriptions import description_findings, told_apart
from linnet.doctor.duplicates import Same, duplicate_findings
from linnet.doctor.findings import Code, Finding, Severity, item_content
from linnet.doctor.floors import Floor, floors, scored_split
from linnet.doctor.labels import label_findings
from linnet.doctor.names import name_findings
from linnet.doctor.pictures import picture_findings
from linnet.doctor.scan import scan_images
from linnet.errors import LinnetError
from linnet.manifest import Manifest
from linnet.recipes import Recipe
from linnet.training.part_labels import levels_of

__all__ = ["VERSION", "Checkup", "examine", "refused"]

VERSION = 1
"""Of the JSON: it rises when a name in it changes its meaning or goes."""


@dataclass(frozen=True, eq=False)
class Checkup:
    """What was found.

    Attributes:
        source: the collection, as it was given.
        manifest: its rows; None where it could not be read.
        findings: the gravest first.
        floors: what guessing scores, level by level, on `scored` (a split; None = all images).
        advice: what can be learnt; None where the splits or the manifest do not allow to say.
        duplicates: cases of equal or nearly equal images, to show.
        facts: figures on the collection as a whole, by name.
    """

    source: str
    manifest: Manifest | None
    findings: tuple[Finding, ...]
    floors: tuple[Floor, ...] = ()
    scored: str | None = None
    advice: Advice | None = None
    duplicates: tuple[Same, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)

    def count(self, severity: Severity) -> int:
        """Kinds of findings of a severity."""
        return sum(each.severity == severity for each in self.findings)

    def summary(self, name: str) -> str:
        """How many kinds of findings a severity has, in words: '2 errors'."""
        count = self.count(Severity(name))
        return f"{count} {name}{'' if count == 1 else 's'}"

    def worst(self) -> Severity | None:
        """The gravest severity; None where nothing was found."""
        return min((each.severity for each in self.findings), key=lambda each: each.rank, default=None)

    def content(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {
            "version": VERSION,
            "linnet": version("linnet"),
            "source": self.source,
            "summary": {severity.value: self.count(severity) for severity in Severity},
            "facts": self.facts,
            "findings": [
                {
                    "code": each.code.value,
                    "severity": each.severity.value,
                    "count": each.count,
                    "title": each.title,
                    "advice": each.advice,
                    "items": [item_content(item, self.manifest) for item in each.items],
                }
                for each in self.findings
            ],
            "floors": {"split": self.scored, "levels": [asdict(floor) for floor in self.floors]},
            "methods": None if self.advice is None else asdict(self.advice),
        }


def examine(
    manifest: Manifest, recipe: Recipe, given: Sequence[str] = (), *, workers: int = 0, progress: bool = False
) -> Checkup:
    """Examine a collection: every image is decoded once; memory grows by some 400 bytes an image.

    Args:
        manifest: the collection.
        recipe: says which levels are the coarse and the fine one.
        given: what named the collection on the command line, DATA first, for the commands that are suggested;
            by default its source.
        workers: decoding threads; 0 takes one for each core.
        progress: show a bar, on a terminal only.

    Raises:
        TaxonomyError, RecipeError: levels that the collection does not have.
    """
    coarse, fine = levels_of(recipe, manifest.taxonomy)
    pa.default_memory_pool().release_unused()  # reading a table leaves several times what the manifest holds
    scan = scan_images(manifest, workers, progress)
    repeated, same = duplicate_findings(manifest, scan)
    found = [
        *picture_findings(scan),
        *repeated,
        *label_findings(manifest),
        *name_findings(manifest.taxonomy),
        *description_findings(manifest, coarse, fine),
    ]
    shorter = np.minimum(scan.widths, scan.heights)[scan.whole]
    middle = float(np.median(shorter)) if len(shorter) else 0.0
    splits_fail = any(each.code in (Code.SPLIT_MISSING, Code.NO_TRAINING_SPLIT) for each in found)
    advice = None if splits_fail else advise(manifest, recipe, given or (manifest.source,), middle)
    return Checkup(
        source=manifest.source,
        manifest=manifest,
        findings=_sorted(found),
        floors=tuple(floors(manifest)),
        scored=scored_split(manifest),
        advice=advice,
        duplicates=tuple(same),
        facts={**_facts(manifest), "median_shorter_side": middle, **_descriptions(manifest, coarse, fine)},
    )


def refused(source: str, error: LinnetError) -> Finding:
    """The finding that a collection cannot be read as it is, with the reader's own message."""
    return Finding(
        Code.MANIFEST_REFUSED, Severity.ERROR, str(error), f"{source} cannot be trained on until this is mended."
    )


def _sorted(found: Sequence[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(found, key=lambda each: each.severity.rank))


def _facts(manifest: Manifest) -> dict[str, Any]:
    tree = manifest.taxonomy
    codes = Counter(manifest.split_codes.tolist())
    return {
        "images": len(manifest),
        "splits": {name: codes[number] for number, name in enumerate(manifest.split_names)},
        "levels": [
            {"level": level, "classes": tree.count(number), "labelled": int((manifest.targets[:, number] >= 0).sum())}
            for number, level in enumerate(tree.levels)
        ],
    }


def _descriptions(manifest: Manifest, coarse: int, fine: int) -> dict[str, Any]:
    apart = told_apart(manifest, coarse, fine)
    if apart is None:
        return {"descriptions": None}
    told = {name: getattr(apart, name) for name in ("attributes", "within", "between", "share_within")}
    return {"descriptions": told}
