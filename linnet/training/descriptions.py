"""The description vector of every class of a run's two levels, from the attributes table of its manifest."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from linnet.attributes import Attributes
from linnet.errors import SupervisionError, nearest
from linnet.hierarchy import first_few
from linnet.manifest import Manifest
from linnet.metrics.descriptions import separation

__all__ = ["check_descriptions", "class_attributes", "undescribed"]

_logger = logging.getLogger("linnet")

Vectors = NDArray[np.float32]


def class_attributes(manifest: Manifest, coarse: int, fine: int) -> tuple[Tensor, Tensor]:
    """Description vectors of the coarse and the fine classes: float32 (C, A) and (F, A), in the taxonomy's order.

    A class has its own row of the table or, without one, the mean of its children: for a coarse class of its fine
    classes (paper 000, section 4.1), for a fine class of the next finer level, if there is one. A row whose name a
    coarse and a fine class share describes the fine one. Where the two levels are one, both have the same vectors.

    Returns:
        Two empty tensors (0, 0) where there is no table, or where `undescribed` names a class.
    """
    found = _vectors(manifest, coarse, fine)
    if found is None or any(np.isnan(vectors).any() for vectors in found):
        return torch.empty(0, 0), torch.empty(0, 0)
    return torch.from_numpy(found[0]), torch.from_numpy(found[1])


def undescribed(manifest: Manifest, coarse: int, fine: int) -> list[str]:
    """The classes that lack a row, quoted, for a message: fine ones, and coarse ones that have no children either.

    The first one comes with the nearest name in the table. [] where there is no table at all.
    """
    found = _vectors(manifest, coarse, fine)
    if found is None or manifest.attributes is None:
        return []
    taxonomy = manifest.taxonomy
    childless = ~taxonomy.membership(coarse, fine).any(1)
    lacking = {fine: np.isnan(found[1]).any(1), coarse: np.isnan(found[0]).any(1) & childless}
    missing = [taxonomy.classes[level][n] for level, mask in lacking.items() for n in np.flatnonzero(mask).tolist()]
    hint = nearest(missing[0], manifest.attributes.names) if missing else ""
    return [repr(name) + (hint if number == 0 else "") for number, name in enumerate(missing)]


def check_descriptions(manifest: Manifest, coarse: int, fine: int) -> None:
    """Refuse descriptions that nothing can be learnt from, and tell what else is odd about them.

    Warned of are siblings that share one description, which only chance tells apart, and classes whose numbers are all
    0. That columns are the same for all classes does no harm, and is told.

    Raises:
        SupervisionError: all coarse classes have the same vector.
    """
    taxonomy, told = manifest.taxonomy, f"{manifest.source}: its attributes table"
    both = class_attributes(manifest, coarse, fine)
    high, low = taxonomy.classes[coarse], taxonomy.classes[fine]
    if len(high) > 1 and bool((both[0] == both[0][0]).all()):
        raise SupervisionError(
            f"{told} describes all {len(high)} {taxonomy.levels[coarse]} classes alike, so there is nothing to learn. "
            "Look at it with: linnet attributes"
        )
    found = separation(both[1].numpy(), taxonomy.ancestor(fine, coarse), len(high), close=2.0)  # the same alone
    pairs = [f"{low[one]!r} and {low[other]!r}" for each in found.families for one, other, _ in each.alike]
    if pairs and coarse != fine:
        _logger.warning("%s describes siblings alike, which only chance tells apart:\n%s", told, first_few(pairs))
    silent = [repr(low[number]) for number in (both[1] == 0).all(1).nonzero().flatten().tolist()]
    if silent:
        _logger.warning("%s says nothing of these classes (all numbers are 0):\n%s", told, first_few(silent))
    if found.constant:
        _logger.info("%s has %d columns of %d without a difference", told, len(found.constant), found.attributes)


def _vectors(manifest: Manifest, coarse: int, fine: int) -> tuple[Vectors, Vectors] | None:
    """The vectors of both levels with NaN where a class has none; None without a table."""
    table, taxonomy = manifest.attributes, manifest.taxonomy
    if table is None:
        return None
    depth = len(taxonomy.levels) - 1
    deeper = _rows(table, taxonomy.classes[depth])
    for level in range(depth, fine, -1):
        parents = np.asarray(taxonomy.parents[level], dtype=np.int64)
        deeper = _or_mean(_rows(table, taxonomy.classes[level - 1]), deeper, parents)
    if coarse == fine:
        return deeper, deeper
    shared = set(taxonomy.classes[fine])
    named = ["" if name in shared else name for name in taxonomy.classes[coarse]]
    return _or_mean(_rows(table, named), deeper, taxonomy.ancestor(fine, coarse)), deeper


def _rows(table: Attributes, names: Sequence[str]) -> Vectors:
    """The table's rows of these classes; NaN where it has none."""
    at = {name: number for number, name in enumerate(table.names)}
    found = np.full((len(names), len(table.columns)), np.nan, dtype=np.float32)
    there = [number for number, name in enumerate(names) if name in at]
    found[there] = table.values[[at[names[number]] for number in there]]
    return found


def _or_mean(rows: Vectors, children: Vectors, parent: NDArray[np.int64]) -> Vectors:
    """Rows (n, A), and where one is NaN the mean of its children (m, A); a class without any stays NaN."""
    counts = np.bincount(parent, minlength=len(rows))[:, None]
    sums = np.zeros(rows.shape, dtype=np.float64)
    np.add.at(sums, parent, children)
    with np.errstate(invalid="ignore"):
        means = sums / counts
    return np.where(np.isnan(rows), means, rows).astype(np.float32)
