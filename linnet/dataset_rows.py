"""Rows of a Hugging Face `datasets` object, known by its shape alone: `datasets` is not imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from linnet import files
from linnet.errors import ManifestError, nearest

__all__ = ["DatasetRows", "dataset_rows"]

_CHUNK = 1000
_SIGNATURES = {b"\xff\xd8": ".jpg", b"\x89PNG": ".png", b"GIF8": ".gif", b"BM": ".bmp", b"RIFF": ".webp"}


@dataclass(frozen=True)
class DatasetRows:
    """Image paths, splits ('' when none) and labels per level ('' where blank), (N,) each."""

    source: str
    images: list[str]
    splits: list[str]
    labels: dict[str, list[str]]


def dataset_rows(dataset: Any, levels: Sequence[str] | None, folder: Path | None) -> DatasetRows:
    """Read a `Dataset`, or a mapping of split name to `Dataset`; see `manifest.from_dataset`.

    Raises:
        ManifestError: see `manifest.from_dataset`.
    """
    parts = dict(dataset) if isinstance(dataset, Mapping) else {"": dataset}
    result: DatasetRows | None = None
    for split, part in parts.items():
        if not all(hasattr(part, name) for name in ("features", "with_format", "__len__", "__getitem__")):
            raise ManifestError(
                f"{type(part).__name__} is no manifest: give a file, a folder, or a Hugging Face Dataset "
                "that is "
                "loaded (not streaming)"
            )
        image, chosen = _columns(part.features, levels)
        if result is None:
            result = DatasetRows("dataset", [], [], {name: [] for name in chosen})
        table = part.with_format("arrow")
        for start in range(0, len(part), _CHUNK):
            rows = table[start : min(start + _CHUNK, len(part))]
            for offset, cell in enumerate(rows.column(image).to_pylist()):
                result.images.append(_image(cell, f"{split or 'image'}-{start + offset:08d}", folder))
                result.splits.append(split)
            for name in chosen:
                names = getattr(part.features[name], "names", None)
                result.labels[name] += [_label(cell, names) for cell in rows.column(name).to_pylist()]
    if result is None or not result.images:
        raise ManifestError("the data set has no rows")
    return result


def _columns(features: Mapping[str, Any], levels: Sequence[str] | None) -> tuple[str, list[str]]:
    """The image column and the label columns."""
    there = list(features)
    image = [name for name in ("image", "img") if name in features]
    image += [name for name in there if type(features[name]).__name__ == "Image"]
    if not image:
        raise ManifestError(
            f"the data set has no column of images; its columns are {', '.join(there)}. Rename it to image "
            "(dataset.rename_column)."
        )
    for level in levels or ():
        if level not in there:
            raise ManifestError(
                f"the data set has no column {level!r}{nearest(level, there)}; it has {', '.join(there)}"
            )
    chosen = list(levels or [name for name in there if getattr(features[name], "names", None) is not None])
    if not chosen:
        raise ManifestError(
            f"the data set has no ClassLabel column; name the label columns with levels, from {', '.join(there)}"
        )
    return image[0], chosen


def _label(cell: Any, names: Sequence[str] | None) -> str:
    if cell is None:
        return ""
    if names is None:
        return str(cell)
    return str(names[cell]) if cell >= 0 else ""


def _image(cell: Any, name: str, folder: Path | None) -> str:
    """The path of an image: its own file where there is one, else written to `folder`."""
    if isinstance(cell, str):
        return str(Path(cell).absolute())
    path, content = (cell.get("path"), cell.get("bytes")) if isinstance(cell, dict) else (None, None)
    if path and Path(path).is_file():
        return str(Path(path).absolute())
    if not content:
        raise ManifestError(f"{name}: neither an image file nor embedded bytes ({path or cell!r}); remove the row")
    if folder is None:
        raise ManifestError(
            "the images are embedded in the data set; name a folder for them: from_dataset(dataset, folder=...)"
        )
    suffix = next((end for start, end in _SIGNATURES.items() if content.startswith(start)), ".img")
    target = files.inside(folder, name + suffix)
    if not (target.is_file() and target.read_bytes() == content):
        files.write_bytes(target, content)
    return str(target)
