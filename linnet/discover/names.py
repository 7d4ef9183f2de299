"""Names of clusters as a table to fill in, and named clusters as labels in a new manifest."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from linnet import files
from linnet.discover.edits import rename
from linnet.discover.model import Discovery
from linnet.errors import RunError, TaxonomyError
from linnet.hierarchy import first_few
from linnet.manifest import Manifest
from linnet.tables import column_names, read_columns
from linnet.taxonomy import Taxonomy

__all__ = ["Labelled", "read_names", "to_manifest", "write_names"]

_COLUMNS = ("coarse", "cluster", "name")


def write_names(discovery: Discovery, target: Path | str) -> None:
    """Write the table that a user fills in: `coarse,cluster,name` and what helps to choose names, a row a cluster."""
    stream = io.StringIO()
    table = csv.writer(stream, lineterminator="\n")
    table.writerow([*_COLUMNS, "images", "stability", "typical"])
    for c, name in enumerate(discovery.coarse_names):
        for each in discovery.clusters[c]:
            typical = [discovery.images[place] for place in discovery.typical(c, each.number, 3).tolist()]
            stability = "" if each.stability is None else f"{each.stability:.2f}"
            images = len(discovery.members(c, each.number))
            table.writerow([name, each.number, each.name, images, stability, " ".join(typical)])
    files.write_text(target, stream.getvalue())


def read_names(discovery: Discovery, source: Path | str) -> Discovery:
    """The discovery with the names of a table: `coarse,cluster,name`, other columns being of no account but `images`.

    A blank name takes a name away; clusters that the table lacks keep theirs.

    Raises:
        ManifestError: the table cannot be read.
        RunError: rows that name no cluster, one cluster twice, or another number of images than the cluster has: the
            discovery was changed since the table was written. Names the rows.
    """
    there = column_names(source)
    counted = [name for name in ("images",) if name in there]
    table = read_columns(source, [*_COLUMNS, *counted])
    cells = [table.texts(name) for name in (*_COLUMNS, *counted)]
    problems: list[str] = []
    seen: dict[tuple[str, int], int] = {}
    for row, (coarse, text, name, *images) in enumerate(zip(*cells, strict=True)):
        try:
            number = int(text)
            size = len(discovery.members(coarse, number)) if number >= 0 else -1
            if size < 0:
                raise ValueError(text)
            if seen.setdefault((coarse, number), row) != row:
                raise RunError(f"cluster {number} of {coarse} again, after {table.where(seen[coarse, number])}")
            if images and images[0] and images[0] != str(size):
                raise RunError(
                    f"cluster {number} of {coarse} has {size} images, here {images[0]}: it was changed since the table "
                    "was written; write the table anew"
                )
            discovery = rename(discovery, coarse, number, name)
        except ValueError:
            problems.append(f"{table.where(row)}: cluster {text!r} is no number")
        except (RunError, TaxonomyError) as error:
            problems.append(f"{table.where(row)}: {error}")
    if problems:
        raise RunError(f"names that do not fit the discovery:\n{first_few(problems)}")
    return discovery


@dataclass(frozen=True)
class Labelled:
    """A manifest with labels from named clusters.

    Attributes:
        named: images that got a label; `known` had one before and keep it; `weak` were below the strength asked for;
            `unnamed` are in a cluster without a name, or in none; `held` are of a split that gets no labels.
        childless: coarse classes that have images and no fine class.
    """

    manifest: Manifest
    childless: tuple[str, ...]
    named: int
    known: int
    weak: int
    unnamed: int
    held: int


def to_manifest(
    discovery: Discovery,
    manifest: Manifest,
    *,
    level: str | None = None,
    strength: float | None = None,
    hold: tuple[str, ...] = ("test",),
) -> Labelled:
    """The manifest that was clustered, with named clusters as fine labels; labels that are there stay.

    Args:
        manifest: the one that the discovery was made of.
        level: the level of the new labels. None: the finer level next to the coarse one; where there is none, a new
            one called "fine" (or "finer").
        strength: images less firm in their cluster than this keep their coarse label only; see `Discovery.strength`.
        hold: splits that get no labels: to measure on labels that clusters gave would say how well a model follows
            the clusters, not how right it is.

    Raises:
        RunError: no cluster has a name, or the manifest is another one.
        TaxonomyError: a name that stands under another coarse class already, or a level that does not lie next.
    """
    rows = discovery.rows
    if len(manifest) <= rows.max(initial=-1) or manifest.images.take(rows).to_pylist() != list(discovery.images):
        raise RunError(f"{manifest.source}: not the images that were clustered; give the table that they came from")
    if not any(each.name for there in discovery.clusters for each in there):
        raise RunError("no cluster has a name yet; fill in the column name of the table of names")
    coarse = _coarse_level(discovery, manifest)
    manifest, fine = _with_level(manifest, coarse, level)
    manifest, number = _with_classes(discovery, manifest, coarse, fine)
    wanted = np.full(len(discovery), -1, np.int64)
    for (c, cluster), f in number.items():
        wanted[discovery.members(c, cluster)] = f
    targets = manifest.targets.copy()
    known = targets[rows, fine] >= 0
    held = ~known & np.isin(np.array(discovery.splits), hold)
    unnamed = ~known & ~held & (wanted < 0)
    weak = ~known & ~held & ~unnamed & (discovery.strength < (-np.inf if strength is None else strength))
    chosen = ~(known | held | unnamed | weak)
    targets[rows[chosen], fine] = wanted[chosen]
    taxonomy = manifest.taxonomy
    children = set(taxonomy.parents[fine])
    present = np.unique(targets[targets[:, coarse] >= 0, coarse])
    childless = tuple(taxonomy.classes[coarse][c] for c in present.tolist() if c not in children)
    counts = (int(each.sum()) for each in (chosen, known, weak, unnamed, held))
    return Labelled(replace(manifest, targets=targets), childless, *counts)


def _coarse_level(discovery: Discovery, manifest: Manifest) -> int:
    told = discovery.card.get("source", {}).get("coarse_level", 0)
    return manifest.taxonomy.level(told)


def _with_level(manifest: Manifest, coarse: int, level: str | None) -> tuple[Manifest, int]:
    """The manifest with a level below the coarse one, and its number."""
    taxonomy = manifest.taxonomy
    if coarse + 1 < len(taxonomy.levels) and level in (None, taxonomy.levels[coarse + 1]):
        return manifest, coarse + 1
    if coarse + 1 < len(taxonomy.levels):
        raise TaxonomyError(
            f"level {level!r}: below {taxonomy.levels[coarse]!r} lies {taxonomy.levels[coarse + 1]!r}, so clusters of "
            f"{taxonomy.levels[coarse]} classes become {taxonomy.levels[coarse + 1]} classes"
        )
    name = level or ("fine" if "fine" not in taxonomy.levels else "finer")
    deeper = Taxonomy((*taxonomy.levels, name), (*taxonomy.classes, ()), (*taxonomy.parents, ()))
    blank = np.full((len(manifest), 1), -1, np.int64)
    return replace(manifest, taxonomy=deeper, targets=np.concatenate([manifest.targets, blank], 1)), coarse + 1


def _with_classes(
    discovery: Discovery, manifest: Manifest, coarse: int, fine: int
) -> tuple[Manifest, dict[tuple[int, int], int]]:
    """The manifest with a fine class for every name, and the class number of each named cluster."""
    taxonomy = manifest.taxonomy
    names, parents = list(taxonomy.classes[fine]), list(taxonomy.parents[fine])
    number: dict[tuple[int, int], int] = {}
    problems = []
    for c, there in enumerate(discovery.clusters):
        above = taxonomy.index(coarse, discovery.coarse_names[c])
        for each in there:
            if not each.name:
                continue
            if each.name not in names:
                names.append(each.name)
                parents.append(above)
            f = number[c, each.number] = names.index(each.name)
            if parents[f] != above:
                other = taxonomy.classes[coarse][parents[f]]
                problems.append(
                    f"{each.name!r}, cluster {each.number} of {discovery.coarse_names[c]}, and under {other}"
                )
    if problems:
        raise TaxonomyError(
            f"names that stand under two coarse classes:\n{first_few(problems)}\nA fine class has one coarse class; "
            "tell them apart by name"
        )
    classes, above_all = list(taxonomy.classes), list(taxonomy.parents)
    classes[fine], above_all[fine] = tuple(names), tuple(parents)
    fuller = Taxonomy(taxonomy.levels, tuple(classes), tuple(above_all))
    return replace(manifest, taxonomy=fuller), number
