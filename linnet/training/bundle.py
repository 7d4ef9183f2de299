"""The bundle: what prediction needs, as safetensors and JSON; opening it runs nothing from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from linnet import files
from linnet.backbones import Backbone, build_backbone
from linnet.backbones.whitening import whitened
from linnet.errors import RunError
from linnet.images import Preprocessing
from linnet.methods import method_class
from linnet.methods.base import Method, Task
from linnet.taxonomy import Taxonomy
from linnet.training.data import memberships

__all__ = ["FORMAT", "HUB_NAMES", "Bundle", "open_bundle", "write_bundle"]

FORMAT = 1

_NAMES = ("bundle.json", "weights.safetensors")
HUB_NAMES = ("config.json", "model.safetensors")
"""What a bundle's two files are called where the Hugging Face hub is to know them."""


@dataclass(frozen=True)
class Bundle:
    """A trained method with its classes and preprocessing.

    Attributes:
        taxonomy: the classes; `coarse` and `fine` are the numbers of the two levels the method works between.
        card: the content of bundle.json: method, options, backbone, levels, start weights, versions.
    """

    method: Method
    taxonomy: Taxonomy
    coarse: int
    fine: int
    preprocessing: Preprocessing
    card: dict[str, Any]


def write_bundle(folder: Path, bundle: Bundle, names: tuple[str, str] = _NAMES) -> None:
    """Write `weights.safetensors` and `bundle.json`, the latter last, with the former's SHA-256; `names` are others."""
    weights = files.make_folder(folder) / names[1]
    state = {name: value.detach().cpu().contiguous() for name, value in bundle.method.bundle_state().items()}
    with files.atomic_path(weights) as aside:
        save_file(state, aside)
    card = {
        **bundle.card,
        "format": FORMAT,
        "coarse": bundle.coarse,
        "fine": bundle.fine,
        "taxonomy": bundle.taxonomy.to_json(),
        "preprocessing": bundle.preprocessing.to_json(),
        "weights_sha256": files.digest(weights),
    }
    files.write_json(folder / names[0], card)


def open_bundle(folder: Path | str, names: tuple[str, str] = _NAMES) -> Bundle:
    """Open a bundle on the CPU, in eval mode; `names` are those it was written by.

    Raises:
        RunError: a file is missing, damaged, of a newer format, or does not fit the method it names.
    """
    folder = Path(folder)
    card = files.read_json(folder / names[0])
    given = card.get("format") if isinstance(card, dict) else None
    if given != FORMAT:
        raise RunError(f"{folder}/{names[0]}: format {given!r}, this Linnet opens format {FORMAT}")
    weights = folder / names[1]
    if not weights.exists() or files.digest(weights) != card.get("weights_sha256"):
        raise RunError(f"{weights}: missing or changed since it was written (checksums differ); copy the bundle again")
    try:
        return _build(weights, card)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, SafetensorError) as error:
        raise RunError(f"{folder}: {names[0]} and the weights do not fit each other ({error})") from None


def _build(weights: Path, card: dict[str, Any]) -> Bundle:
    taxonomy = Taxonomy.from_json(card["taxonomy"])
    coarse, fine = int(card["coarse"]), int(card["fine"])
    if not 0 <= coarse <= fine < len(taxonomy.levels):
        raise ValueError(f"levels {coarse} and {fine} of {len(taxonomy.levels)}")
    state = load_file(weights)
    # A method that knows its classes by descriptions keeps them in its state, by these names.
    task = Task(
        torch.from_numpy(taxonomy.membership(coarse, fine)),
        coarse,
        fine,
        memberships=memberships(taxonomy, fine),
        coarse_attributes=state.get("coarse_attributes", torch.empty(0, 0)),
        fine_attributes=state.get("fine_attributes", torch.empty(0, 0)),
    )
    chosen = method_class(card["method"])
    preprocessing = Preprocessing.from_json(card["preprocessing"])

    def make() -> Backbone:
        # Bundles from before there was whitening do not name it.
        kind = card.get("whitening", "none")
        return whitened(build_backbone(card["backbone"], width=card["width"]), kind, preprocessing.size)

    method = chosen.build(make, task, chosen.Options.model_validate(card["options"]))
    absent, strange = method.load_state_dict(state, strict=False)
    absent = [name for name in absent if not method.is_training_only(name)]
    if absent or strange:
        raise ValueError(f"missing {absent[:3]}, unknown {strange[:3]}")
    return Bundle(method.eval(), taxonomy, coarse, fine, preprocessing, card)
