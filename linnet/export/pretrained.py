"""A run as a folder that the Hugging Face hub takes: config.json, model.safetensors, classes.json and README.md."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from linnet import files
from linnet.errors import RunError
from linnet.export.card import model_card
from linnet.export.classes import classes_of
from linnet.training.bundle import HUB_NAMES, Bundle, open_bundle, write_bundle
from linnet.training.run import Run

__all__ = ["from_pretrained", "published", "save_pretrained"]

_FILES = [*HUB_NAMES, "classes.json", "README.md"]
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


def save_pretrained(run: Run, folder: Path | str, *, license: str | None = None) -> Path:
    """Write a run's bundle and its model card to a folder, ready for `huggingface_hub.upload_folder`.

    The card tells data, labels, protocol, the figures of the last `evaluate` with their floors, and every leak.

    Args:
        license: what the card states, an identifier of the hub such as "apache-2.0"; none is stated when None.

    Raises:
        RunError, RecipeError: the run's bundle does not open.
    """
    folder, bundle = files.make_folder(folder), published(run)
    write_bundle(folder, bundle, HUB_NAMES)
    files.write_json(folder / "classes.json", classes_of(bundle))
    files.write_text(folder / "README.md", model_card(run, bundle, license))
    return folder


def from_pretrained(source: Path | str, *, revision: str | None = None) -> Bundle:
    """Open what `save_pretrained` wrote: a folder, or a repository of the Hugging Face hub, fetched when it is new.

    Nothing that the files hold is run. The bundle is on the CPU, in eval mode.

    Args:
        source: a folder, else "owner/name".
        revision: of the repository, a branch, tag or commit; the newest when None.

    Raises:
        RunError: neither is there, or the files are damaged, changed or of a newer format; says which.
    """
    folder = Path(source)
    if not folder.is_dir():
        folder = _fetch(str(source), revision)
    if not (folder / HUB_NAMES[0]).exists():
        raise RunError(f"{source}: no {HUB_NAMES[0]} there; `linnet export RUN` writes folders that have one")
    return open_bundle(folder, HUB_NAMES)


def published(run: Run) -> Bundle:
    """A run's bundle, its card without the paths of this machine, of an ensemble's first members their number."""
    bundle = run.bundle
    card: dict[str, Any] = {"library_name": "linnet", **bundle.card}
    for written in ("format", "coarse", "fine", "taxonomy", "preprocessing", "weights_sha256"):
        card.pop(written, None)  # `write_bundle` writes them anew
    if "source" in (trained := dict(card.get("trained_on", {}))):
        trained["source"] = Path(str(trained["source"])).name
        card["trained_on"] = trained
    if run.members is not None and run.members > 1:
        card["options"] = {**card["options"], "members": run.members}
    return replace(bundle, card=card)


def _fetch(name: str, revision: str | None) -> Path:
    """A snapshot of a repository.

    Raises:
        RunError: the name is none, or it cannot be had.
    """
    if not _REPOSITORY.fullmatch(name):
        raise RunError(f"{name}: no such folder, and no repository's name, which is owner/name")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=_FILES))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise RunError(
            f"{name}: no such folder here, and the Hugging Face hub does not give it ({lines[0]}); check the name and "
            "the network, or copy the repository's files to a folder and name that"
        ) from None
