"""Manifest: one row an image, with its path, its split, and a label per level as far as known."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from linnet.attributes import Attributes, read_attributes
from linnet.dataset_rows import dataset_rows
from linnet.errors import ManifestError, nearest
from linnet.folders import scan_folder
from linnet.hierarchy import infer
from linnet.manifest_read import check_image_names, distinct_labels, encode_splits, normal_split
from linnet.manifest_write import write_manifest
from linnet.tables import SUFFIXES, Places, column_names, read_columns
from linnet.taxonomy import Level, Taxonomy

__all__ = ["Manifest", "build_manifest", "from_dataset", "read_manifest", "with_attributes", "write_manifest"]


@dataclass(frozen=True, eq=False)
class Manifest:
    """Images and what is known of each. Row numbers are 0-based; messages give places as the source shows
    them.

    Attributes:
        source: what messages call it: the file or folder as it was given.
        root: image paths are relative to this folder.
        images: paths (or names, when `pixels` holds the images), pyarrow strings (N,), each there once.
        taxonomy: the classes.
        targets: class number per level, int64 (N, L), -1 where unknown. A label implies its ancestors.
        split_names: the splits that occur.
        split_codes: index into `split_names`, int8 (N,), -1 where none is given.
        pixels: uint8 (N, H, W, 3) for sets that come as arrays, else None.
        attributes: description vectors of classes, or None.
        places: where each row stands in the source; None counts rows from 1.
    """

    source: str
    root: Path
    images: pa.Array | pa.ChunkedArray
    taxonomy: Taxonomy
    targets: NDArray[np.int64]
    split_names: tuple[str, ...]
    split_codes: NDArray[np.int8]
    pixels: NDArray[np.uint8] | None = None
    attributes: Attributes | None = None
    places: Places | None = None

    def __post_init__(self) -> None:
        count, levels = len(self.images), len(self.taxonomy.levels)
        if self.targets.shape != (count, levels) or self.split_codes.shape != (count,):
            raise ValueError(
                f"{self.source}: targets {self.targets.shape} and split_codes {self.split_codes.shape} do "
                "not fit "
                f"{count} images and {levels} levels"
            )
        if self.pixels is not None and (self.pixels.ndim != 4 or len(self.pixels) != count):
            raise ValueError(f"{self.source}: pixels {self.pixels.shape} do not fit {count} images")

    def __len__(self) -> int:
        """Number of images."""
        return len(self.images)

    def path(self, row: int) -> Path:
        """The image file of a row; absolute paths in the manifest stay as they are."""
        return self.root / str(self.images[int(row)].as_py())

    def where(self, row: int) -> str:
        """The place of a row for messages: 'photos.csv, line 17', or the image's path in a folder."""
        if self.places is None:
            return f"{self.source}, row {int(row) + 1}"
        if self.places.word == "file":
            return f"{self.source}/{self.images[int(row)].as_py()}"
        return f"{self.source}, {self.places.word} {int(self.places.numbers[int(row)])}"

    def labels(self, level: Level) -> NDArray[np.int64]:
        """Class numbers at a level, int64 (N,), -1 where unknown."""
        return self.targets[:, self.taxonomy.level(level)]

    def rows(self, split: str | None = None) -> NDArray[np.int64]:
        """The rows of a split, ascending, int64; all rows for None. 'val' and 'valid' mean 'validation'.

        Raises:
            ManifestError: there is no such split; lists those there are.
        """
        if split is None:
            return np.arange(len(self), dtype=np.int64)
        name = normal_split(split)
        # A reader of a public data set may name splits as that set does.
        name = split if split in self.split_names else name
        if name not in self.split_names:
            there = ", ".join(self.split_names) or "none (add a column split)"
            raise ManifestError(f"{self.source}: no split {split!r}{nearest(name, self.split_names)}; splits: {there}")
        return np.flatnonzero(self.split_codes == self.split_names.index(name)).astype(np.int64, copy=False)

    def select(self, rows: NDArray[np.int64]) -> Manifest:
        """The manifest of some rows, in the given order; taxonomy, split names and attributes stay."""
        rows = np.asarray(rows, dtype=np.int64)
        places = self.places or Places("row", range(1, len(self) + 1))
        return dataclasses.replace(
            self,
            images=self.images.take(pa.array(rows)),
            targets=self.targets[rows],
            split_codes=self.split_codes[rows],
            pixels=None if self.pixels is None else self.pixels[rows],
            places=places.take(rows),
        )

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hexadecimal) of images, splits, labels, pixels and attributes.

        The order of rows counts (a row number is an instance label); the order of classes and of split names,
        the root and the source do not.
        """
        state = hashlib.sha256(self.taxonomy.fingerprint.encode())
        state.update(pc.binary_length(self.images).to_numpy(zero_copy_only=False).astype("<i4").tobytes())
        for start in range(0, len(self), 1 << 16):
            state.update("".join(self.images.slice(start, 1 << 16).to_pylist()).encode())
        for names, codes in [
            *zip(self.taxonomy.classes, self.targets.T, strict=True),
            (self.split_names, self.split_codes),
        ]:
            rank = {name: number for number, name in enumerate(sorted(names))}
            ranks = np.array([rank[name] for name in names] + [-1], dtype="<i4")
            state.update("\0".join(sorted(names) if names is self.split_names else ()).encode())
            state.update(ranks[codes].tobytes())
        if self.pixels is not None:
            state.update(repr(self.pixels.shape).encode() + np.ascontiguousarray(self.pixels).tobytes())
        if self.attributes is not None:
            state.update(repr((self.attributes.names, self.attributes.columns)).encode())
            state.update(np.ascontiguousarray(self.attributes.values, dtype="<f4").tobytes())
        return state.hexdigest()


def build_manifest(
    source: str,
    root: Path,
    images: pa.ChunkedArray,
    split: pa.ChunkedArray | None,
    labels: dict[str, pa.ChunkedArray],
    places: Places,
    *,
    taxonomy: Taxonomy | None = None,
    allow_skips: bool = False,
    qualify: bool = False,
) -> Manifest:
    """A manifest from columns of text, (N,) each; `labels` has a column per level, coarsest first.

    Args:
        source, root, places: see `Manifest`.
        images, split, labels: text; blank is '' or null.
        taxonomy: the classes, when they are known; `labels` may then lack levels. Else the labels tell them.
        allow_skips, qualify: see `Taxonomy.from_columns`.

    Raises:
        ManifestError: blank or repeated images, a column that is no level of `taxonomy`.
        TaxonomyError: labels that contradict each other or the taxonomy. Both name the rows.
    """
    probe = Manifest(
        source,
        root,
        images,
        _NO_CLASSES,
        np.zeros((len(images), 1), np.int64),
        (),
        np.zeros(len(images), np.int8),
        places=places,
    )
    check_image_names(images, source, probe.where)
    levels = tuple(labels)
    rows, first, inverse = distinct_labels(list(labels.values()), len(images))

    def where(number: int) -> str:
        return probe.where(int(first[number]))

    if taxonomy is None:
        columns = () if places.word == "file" else levels  # folders have no columns to choose from
        found = infer(levels, rows, where, allow_skips=allow_skips, qualify=qualify, columns=columns)
        taxonomy, rows = Taxonomy(levels, found.classes, found.parents), found.labels
    else:
        rows = _spread(source, levels, rows, taxonomy)
    names, codes = encode_splits(split, len(images), source)
    targets = taxonomy.place(rows, where)[inverse]
    return Manifest(source, root, images, taxonomy, targets, names, codes, places=places)


_NO_CLASSES = Taxonomy(("class",), ((),), ((),))


def _spread(
    source: str, levels: Sequence[str], rows: Sequence[tuple[str, ...]], taxonomy: Taxonomy
) -> list[tuple[str, ...]]:
    """Rows of labels with a place for every level of the taxonomy."""
    for level in levels:
        if level not in taxonomy.levels:
            raise ManifestError(
                f"{source}: the column {level!r} is no level of the "
                f"taxonomy{nearest(level, taxonomy.levels)}; its "
                f"levels are {', '.join(taxonomy.levels)}. Rename the column, or choose the label columns "
                "with levels."
            )
    at = [levels.index(level) if level in levels else None for level in taxonomy.levels]
    return [tuple("" if number is None else row[number] for number in at) for row in rows]


def read_manifest(
    source: Path | str | Any,
    *,
    levels: Sequence[str] | None = None,
    root: Path | str | None = None,
    taxonomy: Taxonomy | None = None,
    attributes: Path | str | None = None,
    allow_skips: bool = False,
    qualify: bool = False,
    delimiter: str | None = None,
) -> Manifest:
    """Read a manifest from a table, a folder of class folders, or a Hugging Face `datasets` object.

    A table (.csv, .tsv, .parquet, .jsonl) has the column `image`, optionally `split`, then a column per level from
    coarsest to finest; blank where unknown. Only the empty cell is blank: '007', 'NA' and 'null' are names. Spaces
    around labels and image paths are dropped, and `Image` and `Split` will do. A folder that holds `manifest.csv` (or
    the other suffixes) is read by that; any other folder is read as `root/[split/]coarse/fine/image.jpg`, see
    `folders.scan_folder`.

    Args:
        source: the file, the folder, or the object (see `from_dataset`).
        levels: the label columns, coarsest first, when not all but `image` and `split`; names of the levels
            of a folder.
        root: what image paths are relative to; the table's own folder by default.
        taxonomy: the classes, when the labels do not tell them (see the Taxonomy constructors).
        attributes: a table with the class name, then numbers; see `attributes.read_attributes`.
        allow_skips: a class that no row tells takes the name of the finer one.
        qualify: the parent goes before every class name, so that one name may stand in several branches.
        delimiter: what separates the cells of a CSV. By default a comma, or a semicolon where the header has semicolons
            and no comma (as spreadsheets write it in many countries).

    Raises:
        ManifestError, TaxonomyError: with the file, the rows, and what to do.
    """
    if not isinstance(source, (str, Path)):
        return from_dataset(source, levels=levels, taxonomy=taxonomy, allow_skips=allow_skips, qualify=qualify)
    path = Path(source)
    options: dict[str, Any] = {"taxonomy": taxonomy, "allow_skips": allow_skips, "qualify": qualify}
    if path.is_dir():
        inner = [path / f"manifest{suffix}" for suffix in SUFFIXES if (path / f"manifest{suffix}").is_file()]
        if len(inner) > 1:
            raise ManifestError(
                f"{path}: several manifests, {', '.join(entry.name for entry in inner)}; give the one that is meant"
            )
        if not inner:
            return with_attributes(_from_folder(path, levels, options), attributes)
        path = inner[0]
    names = column_names(path, delimiter)
    image, split = (_column_called(wanted, names, levels) for wanted in ("image", "split"))
    chosen = _level_columns(path, names, image, split, levels)
    wanted = [name for name in (image, split) if name] + chosen
    read = read_columns(path, wanted, plain=(image,), delimiter=delimiter)
    manifest = build_manifest(
        str(path),
        Path(root) if root is not None else path.parent,
        pc.utf8_trim_whitespace(read.columns[image]),
        read.columns[split] if split else None,
        {name: read.columns[name] for name in chosen},
        read.places,
        **options,
    )
    return with_attributes(manifest, attributes)


def _column_called(wanted: str, names: Sequence[str], levels: Sequence[str] | None) -> str:
    """The column of that name, or else the one that differs in letter case and is not named as a level; else ''."""
    alike = [name for name in names if name.lower() == wanted and name not in (levels or ())]
    if wanted in names:
        return wanted
    return alike[0] if len(alike) == 1 else ""


def _level_columns(path: Path, names: Sequence[str], image: str, split: str, levels: Sequence[str] | None) -> list[str]:
    """The columns of labels, coarsest first: those named, or all but image and split."""
    found = ", ".join(names)
    if not image:
        raise ManifestError(
            f"{path}: no column 'image'; the columns are {found}{nearest('image', names)}. Rename the column "
            "that "
            "holds the image paths to image."
        )
    labels = [name for name in names if name not in (image, split)]
    for level in levels or ():
        if level not in labels:
            raise ManifestError(
                f"{path}: levels names {level!r}, which is no column of labels{nearest(level, labels)}; "
                f"those are {', '.join(labels)}"
            )
    chosen = list(dict.fromkeys(levels)) if levels else labels
    if not chosen:
        raise ManifestError(
            f"{path}: no column of labels, only {found}. Add one column for each level, coarsest first, for "
            "example "
            "image,coarse,fine; cells may be blank."
        )
    return chosen


def _from_folder(path: Path, levels: Sequence[str] | None, options: dict[str, Any]) -> Manifest:
    found = scan_folder(path, levels)
    taxonomy: Taxonomy | None = options["taxonomy"]
    names = found.levels
    if taxonomy is not None and levels is None and len(names) <= len(taxonomy.levels):
        names = taxonomy.levels[len(taxonomy.levels) - len(names) :]
    count = len(found.images)
    columns = {name: _column([labels[number] for labels in found.labels]) for number, name in enumerate(names)}
    split = _column(found.splits) if any(found.splits) else None
    return build_manifest(
        str(path), path, _column(found.images), split, columns, Places("file", range(1, count + 1)), **options
    )


def _column(texts: list[str]) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(texts, pa.string())])


def with_attributes(manifest: Manifest, attributes: Path | str | None) -> Manifest:
    """The manifest with the class descriptions of a table, see `attributes.read_attributes`; None changes nothing."""
    if attributes is None:
        return manifest
    return dataclasses.replace(manifest, attributes=read_attributes(attributes, manifest.taxonomy))


def from_dataset(
    dataset: Any,
    *,
    levels: Sequence[str] | None = None,
    taxonomy: Taxonomy | None = None,
    folder: Path | str | None = None,
    allow_skips: bool = False,
    qualify: bool = False,
) -> Manifest:
    """A manifest from a Hugging Face `Dataset`, or a mapping of split name to `Dataset`; `datasets` is not
    imported.

    Images are the column called image or img, else the first of the Image feature: text paths, or images that
    lie in files. Images embedded in the data set are written once to `folder`, under the name of their split
    and row.

    Args:
        dataset: the data set, held by Arrow (not a streaming one).
        levels: the label columns, coarsest first; by default all ClassLabel columns in their order.
        taxonomy, allow_skips, qualify: see `read_manifest`.
        folder: where to write embedded images.

    Raises:
        ManifestError: no images, no labels, a streaming data set, embedded images without `folder`.
        TaxonomyError: labels that contradict each other; names the rows.
    """
    rows = dataset_rows(dataset, levels, None if folder is None else Path(folder))
    return build_manifest(
        rows.source,
        Path(),
        _column(rows.images),
        _column(rows.splits) if any(rows.splits) else None,
        {name: _column(texts) for name, texts in rows.labels.items()},
        Places("row", range(1, len(rows.images) + 1)),
        taxonomy=taxonomy,
        allow_skips=allow_skips,
        qualify=qualify,
    )
