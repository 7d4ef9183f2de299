"""Texts that describe classes become attributes: sentence vectors, of a model that the user names.

The model is one of sentence-transformers, an optional package (`pip install "linnet[text]"`), from a local folder or by
its public name. Paper 000 describes flowers by the vectors of their encyclopedia texts.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from linnet import files
from linnet.attributes import Attributes
from linnet.errors import DataError, ManifestError
from linnet.hierarchy import first_few
from linnet.tables import column_names, read_columns

__all__ = ["Encoder", "describe", "open_encoder", "read_texts"]

_logger = logging.getLogger("linnet")


class Encoder(Protocol):
    """What turns n texts into vectors (n, A); a `SentenceTransformer` is one."""

    def encode(self, inputs: list[str], /) -> Any: ...  # noqa: D102


def read_texts(source: Path | str) -> dict[str, list[str]]:
    """The texts of each class, from a table: the class name in the first column, texts in the others.

    A class may have several rows, and blank cells are passed over.

    Raises:
        ManifestError: the table cannot be read, has one column only, a class name is blank, or a class has no text.
    """
    columns = column_names(source)
    if len(columns) < 2:
        raise ManifestError(f"{source}: only the column {columns[0]!r}; expected the class name, then its texts")
    table = read_columns(source, columns, plain=columns[1:])
    names, found = table.texts(columns[0]), dict[str, list[str]]()
    blank = [table.where(row) for row, name in enumerate(names) if not name]
    for column in columns[1:]:
        for name, text in zip(names, table.texts(column), strict=True):
            found.setdefault(name, []).extend([text] if text else [])
    silent = [repr(name) for name, texts in found.items() if name and not texts]
    if blank or silent:
        problems = [f"{where}: the class name is blank" for where in blank] + [f"{name}: no text" for name in silent]
        raise ManifestError(f"{source}: texts that cannot be used:\n{first_few(problems)}\nFill them in.")
    return found


def describe(texts: Mapping[str, Sequence[str]], encoder: Encoder) -> Attributes:
    """The vector of each class: the mean of its texts' vectors, each of length 1; columns are "text_1" and so on.

    Args:
        texts: some for each class.
        encoder: see `open_encoder`.

    Raises:
        DataError: the model gives something else than a finite vector a text, or one without a length.
    """
    flat = [text for several in texts.values() for text in several]
    _warn_of_long(flat, encoder)
    vectors = np.asarray(encoder.encode(flat), dtype=np.float64)
    if vectors.ndim != 2 or len(vectors) != len(flat) or not vectors.shape[1]:
        raise DataError(f"the model gave {vectors.shape} for {len(flat)} texts; expected a vector for each")
    lengths = np.linalg.norm(vectors, axis=1)
    broken = [repr(flat[row]) for row in np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0))).tolist()]
    if broken:
        raise DataError(
            f"texts that the model gives no direction (a vector of zeros, or not finite):\n{first_few(broken)}"
        )
    owner = np.repeat(np.arange(len(texts)), [len(several) for several in texts.values()])
    sums = np.zeros((len(texts), vectors.shape[1]))
    np.add.at(sums, owner, vectors / lengths[:, None])
    values = (sums / np.bincount(owner, minlength=len(texts))[:, None]).astype(np.float32)
    return Attributes(tuple(texts), tuple(f"text_{number}" for number in range(1, vectors.shape[1] + 1)), values)


def _warn_of_long(flat: Sequence[str], encoder: Encoder) -> None:
    """Say which texts a model reads in part only, for want of room; one that does not tell its room has no end."""
    room, tokenize = getattr(encoder, "max_seq_length", None), getattr(encoder, "tokenizer", None)
    if not isinstance(room, int) or not callable(tokenize):
        return
    lengths = [len(tokenize(text, truncation=False, verbose=False)["input_ids"]) for text in flat]
    long = [f"{text[:60]!r}: {n:,} tokens" for text, n in zip(flat, lengths, strict=True) if n > room]
    if long:
        _logger.warning(
            "%d of %d texts are longer than the %d tokens that the model reads, and their ends have no part:\n%s\n"
            "Split them into several rows of their class.",
            len(long),
            len(flat),
            room,
            first_few(long),
        )


def open_encoder(name: Path | str) -> Encoder:
    """A model of sentence-transformers on the CPU, from its folder, or by its public name (which needs a network once).

    Only the package's own kinds of parts are opened, and weights as safetensors: nothing of the model is run as code.

    Raises:
        DataError: the package is not installed, the folder holds no such model, or the model cannot be had.
    """
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        raise DataError(
            "texts need the package sentence-transformers, which is not installed: pip install 'linnet[text]'"
        ) from None
    folder = Path(name).expanduser()
    local = folder.is_dir()
    if local:
        _check_parts(folder)
    try:
        opened: Encoder = SentenceTransformer(
            str(folder) if local else str(name),
            device="cpu",
            local_files_only=local,
            trust_remote_code=False,
            model_kwargs={"use_safetensors": True},
        )
    except Exception as error:  # whatever a damaged or absent model makes of the package
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        advice = (
            "save it again (model.save(FOLDER))" if local else "fetch it where there is a network, and give its folder"
        )
        raise DataError(f"model {str(name)!r} cannot be opened ({reason}); {advice}") from None
    return opened


def _check_parts(folder: Path) -> None:
    """Refuse a folder whose parts are classes of any other package: naming one would import it."""
    listed = folder / "modules.json"
    if not listed.is_file():
        raise DataError(f"{folder}: no model of sentence-transformers (modules.json is not there)")
    parts = files.read_json(listed)
    kinds = (
        [part.get("type") if isinstance(part, dict) else None for part in parts] if isinstance(parts, list) else [None]
    )
    strange = [repr(kind) for kind in kinds if not str(kind).startswith("sentence_transformers.")]
    if strange:
        raise DataError(f"{listed}: parts of kinds that are not opened, {', '.join(strange)}")
