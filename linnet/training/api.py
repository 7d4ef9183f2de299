"""`train`: from a recipe to a finished run folder."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from linnet import files
from linnet.backbones import build_backbone, default_preprocessing
from linnet.datasets import load_data
from linnet.errors import RecipeError, RunError
from linnet.images import Augmentation, ImageSource, Preprocessing, check_images
from linnet.manifest import Manifest
from linnet.methods import method_class
from linnet.methods.base import Method
from linnet.randomness import seeded
from linnet.recipes import Recipe
from linnet.training.bundle import Bundle, write_bundle
from linnet.training.data import TrainingData, prepare
from linnet.training.device import Place, find_place
from linnet.training.environment import environment
from linnet.training.evaluate import measure, predict
from linnet.training.loop import Loop
from linnet.training.run import Run

__all__ = ["train"]

_logger = logging.getLogger("linnet")

# What may differ when a run is resumed: it says where and how fast, not what.
_FREE = {"workers", "device", "threads", "road"}


def train(
    recipe: Recipe,
    out: Path | str,
    manifest: Manifest | None = None,
    *,
    resume: bool = False,
    progress: bool | None = None,
) -> Run:
    """Train by a recipe into a run folder, and return the run.

    Args:
        recipe: all settings.
        out: the run folder, made when absent.
        manifest: the images, when they are not to be read from `recipe.data`.
        resume: go on from the folder's newest checkpoint; a folder without one starts anew.
        progress: show a progress bar; None shows it on a terminal.

    Raises:
        RunError: the folder holds another run, or a run and `resume` is not given.
        RecipeError, ManifestError, SupervisionError, ImageError, DataError: as the parts say.
        NonFiniteError: the loss or a gradient is not finite.
    """
    out = Path(out)
    place = find_place(recipe)
    if manifest is None:
        manifest = load_data(recipe.data, Path(recipe.root) if recipe.root else None)
    data = prepare(recipe, manifest)
    _claim(out, recipe, data, resume, place)
    preprocessing = _preprocessing(recipe)
    # All splits at once: a user wants to hear of every broken file in one go, and before training.
    rows = np.concatenate(list(data.rows.values()))
    check_images(manifest=data.manifest, rows=rows, progress=progress is not False, cache=files.cache_folder())
    sources = _sources(recipe, data, preprocessing, place)
    method = _build(recipe, data, place)
    loop = Loop(
        method=method,
        source=sources["train"],
        recipe=recipe,
        place=place,
        folder=out,
        evaluate=lambda: _figures(method, data, sources, recipe, place),
        selects=_selects(recipe, method),
        where=lambda position: data.manifest.where(int(data.rows["train"][position])),
        bar=progress,
    )
    try:
        done = loop.run()
    finally:
        for source in sources.values():
            source.close()
    if place.main:
        card = {
            "method": recipe.method,
            "options": _options(recipe).model_dump(by_alias=True),
            "backbone": recipe.backbone,
            "width": recipe.width,
            "start": method.backbone.start,
            "trained_on": {"images": len(data.rows["train"]), "source": manifest.source},
        }
        write_bundle(
            out / "bundle",
            Bundle(method, data.manifest.taxonomy, data.coarse, data.fine, preprocessing, card),
        )
        summary = files.read_json(out / "training.json")
        chosen = {"chosen_by": loop.selects, "best": done.best, "best_epoch": done.best_epoch}
        files.write_json(out / "training.json", {**summary, **chosen, "seconds": round(done.seconds, 1)})
    place.wait()
    return Run(out, recipe, data)


def _options(recipe: Recipe) -> Any:
    """The method's own settings, validated."""
    return method_class(recipe.method).Options.model_validate(recipe.options)


def _claim(out: Path, recipe: Recipe, data: TrainingData, resume: bool, place: Place) -> None:
    """Make the run folder, or check that it holds this very run."""
    if not (out / "recipe.json").exists():
        if place.main:
            described = {name: len(rows) for name, rows in data.rows.items()}
            files.make_folder(out)
            files.write_json(out / "taxonomy.json", data.manifest.taxonomy.to_json())
            files.write_json(
                out / "training.json",
                {
                    "data": data.manifest.fingerprint,
                    "images": described,
                    "validation_carved": data.carved,
                    "command": " ".join(sys.argv),
                    "processes": place.world,
                    "precision": place.precision,
                    **environment(place.device),
                },
            )
            files.write_json(out / "recipe.json", recipe.model_dump(mode="json"))
        place.wait()
        return
    if not resume:
        raise RunError(f"{out} already holds a run; add --resume to go on with it, or give another --out")
    old = Recipe.read(files.read_json(out / "recipe.json"), f"{out}/recipe.json").model_dump()
    differing = [name for name, value in recipe.model_dump().items() if name not in _FREE and old[name] != value]
    if differing:
        told = "; ".join(f"{name}: {old[name]!r} then, {recipe.model_dump()[name]!r} now" for name in differing)
        raise RunError(
            f"{out} holds a run with other settings ({told}); resume with the old ones, or give another --out"
        )
    before = files.read_json(out / "training.json")
    if before["data"] != data.manifest.fingerprint:
        raise RunError(f"{out}: {data.manifest.source} has changed since the run began; give another --out")
    now = {"processes": place.world, "precision": place.precision, **environment(place.device)}
    changed = [name for name, value in now.items() if before.get(name) != value]
    if changed:
        _logger.warning("resumed under another %s: the bits may differ from an unbroken run", ", ".join(changed))


def _preprocessing(recipe: Recipe) -> Preprocessing:
    usual = default_preprocessing(recipe.backbone)
    return Preprocessing(
        size=recipe.image_size,
        resize=recipe.resize,
        mean=recipe.mean or usual.mean,
        std=recipe.std or usual.std,
        interpolation=usual.interpolation,
    )


def _sources(recipe: Recipe, data: TrainingData, preprocessing: Preprocessing, place: Place) -> dict[str, ImageSource]:
    """The training images with augmentation, and those that select without."""
    wanted = {"train", "validation" if recipe.select_on == "last" else recipe.select_on}
    augmented = Augmentation(recipe.augment, padding=recipe.padding, flip=recipe.flip)
    return {
        name: ImageSource(
            data.manifest,
            rows,
            preprocessing,
            augmented if name == "train" else Augmentation("none"),
            seed=recipe.seed,
            device=place.device,
            workers=recipe.workers or 0,
            road=recipe.road,
            channels_last=recipe.channels_last,
        )
        for name, rows in data.rows.items()
        if name in wanted and len(rows)
    }


def _build(recipe: Recipe, data: TrainingData, place: Place) -> Method:
    with seeded(recipe.seed, "weights"):
        backbone = build_backbone(
            recipe.backbone,
            width=recipe.width,
            weights=Path(recipe.weights) if recipe.weights else None,
            pretrained=recipe.pretrained,
        )
        method = method_class(recipe.method)(backbone, data.task(), _options(recipe))
    method.to(place.device)
    if recipe.channels_last:
        method.to(memory_format=torch.channels_last)
    if recipe.compile:
        method.backbone.compile()
    return method


def _figures(
    method: Method, data: TrainingData, sources: dict[str, ImageSource], recipe: Recipe, place: Place
) -> dict[str, float]:
    name = recipe.select_on if recipe.select_on != "last" else "validation"
    if name not in sources:
        return {}
    said = predict(method, sources[name], place, recipe.batch_size)
    return measure(data, data.rows[name], said, recipe.recall_at)


def _selects(recipe: Recipe, method: Method) -> str | None:
    """The metric that picks the epoch; a fine one only if the recipe says so or the method learns from it."""
    if recipe.select_on == "last":
        return None
    chosen = recipe.select_by or method.selects
    learns_fine = method.selects.startswith("fine")
    if chosen.startswith("fine") and not learns_fine and not recipe.fine_selection:
        raise RecipeError(
            f"select_by = {chosen!r} looks at fine labels, which method {recipe.method!r} must not see; "
            f"leave it at {method.selects!r}, or add fine_selection = true, which marks the figures"
        )
    return chosen
