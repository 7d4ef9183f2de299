"""`train`: from a recipe to a finished run folder."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from linnet import files
from linnet.backbones import Backbone, build_backbone, default_preprocessing, set_dropout
from linnet.backbones.whitening import Whitened, whitened
from linnet.datasets import KNOWN, load_data
from linnet.datasets.fetch import find_file
from linnet.errors import RecipeError, RunError, nearest
from linnet.images import Preprocessing
from linnet.losses.owned import Sharded
from linnet.manifest import Manifest
from linnet.methods import method_class
from linnet.methods.base import Method, Need
from linnet.metrics.units import lower_is_better
from linnet.randomness import seeded
from linnet.recipes import Recipe, check_options
from linnet.recipes.model import PROVENANCE
from linnet.training.bundle import Bundle, write_bundle
from linnet.training.checkpoint import Checkpoints
from linnet.training.compiling import compile_net
from linnet.training.data import TrainingData, available, prepare
from linnet.training.device import Place, find_place, share_buffers
from linnet.training.environment import environment
from linnet.training.evaluate import floors, measure, predict, roles
from linnet.training.frozen import Frozen, frozen_backbone
from linnet.training.loop import Loop
from linnet.training.run import Run
from linnet.training.source import Source, check_sources, open_source
from linnet.training.teacher import keep_teacher, open_teacher

__all__ = ["selection_metric", "train"]

_logger = logging.getLogger("linnet")

# What may differ when a run is resumed: it says where and how fast, not what.
_FREE = {"workers", "device", "threads", "road", "root", *PROVENANCE}


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
        recipe: all settings; options of the method that are left out take their defaults.
        out: the run folder, made when absent.
        manifest: the images, when they are not to be read from `recipe.data`.
        resume: go on from the folder's newest checkpoint; a folder without one starts anew.
        progress: show a progress bar; None shows it on a terminal.

    Raises:
        RunError: the folder holds another run, or a run and `resume` is not given, or another process trains there.
        RecipeError, ManifestError, SupervisionError, ImageError, DataError: as the parts say.
        NonFiniteError: the loss or a gradient is not finite.
    """
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise RunError(f"{out} is a file; a run needs a folder: give another --out")
    recipe = check_options(recipe)  # whole, as the command line gives it, so that either resumes the other's runs
    place = find_place(recipe)
    with _alone(out, place):
        return _train(recipe, out, manifest, resume, progress, place)


@contextmanager
def _alone(out: Path, place: Place) -> Iterator[None]:
    """Hold the run folder, which the first process does for all of them, and clear it of files half written.

    Raises:
        RunError: another training holds it.
    """
    with ExitStack() as held:
        refused = None
        if place.main:
            try:
                held.enter_context(files.claimed(out, "a run"))
                for folder in (out, out / "checkpoints", out / "bundle"):
                    files.remove_unfinished(folder)
            except RunError as error:
                refused = error
        if not place.agreed(refused is None):
            raise refused or RunError(f"{out}: another process is writing a run to it")
        yield


def _train(
    recipe: Recipe, out: Path, manifest: Manifest | None, resume: bool, progress: bool | None, place: Place
) -> Run:
    """Train into a folder that is held."""
    if manifest is None:
        manifest = load_data(recipe.data, Path(recipe.root) if recipe.root else None, **recipe.reading())
    data = prepare(recipe, manifest)
    selects = selection_metric(recipe, data)
    if len(data.rows["train"]) < place.world:
        raise RecipeError(f"{len(data.rows['train'])} training images cannot be shared by {place.world} processes")
    begun = _has_begun(out, recipe, data, resume, place)
    preprocessing = _preprocessing(recipe)
    check_sources(data, preprocessing, recipe, progress=progress is not False)
    method = _build(recipe, data, place)
    with frozen_backbone(method) if recipe.frozen else nullcontext() as net:
        frozen = Frozen(net, preprocessing, recipe, place, progress) if net else None
        sources = _sources(recipe, data, preprocessing, place, frozen)
        (_renew if begun else _claim)(out, recipe, data, place)
        keep_teacher(out, method.task.teacher, place)
        loop = Loop(
            method=method,
            source=sources["train"],
            recipe=recipe,
            place=place,
            folder=out,
            evaluate=lambda: _figures(method, data, sources, recipe, place),
            selects=selects,
            where=lambda position: data.manifest.where(int(data.rows["train"][position])),
            bar=progress,
            groups=data.fine_known("train") if method.keeps_ratio else None,
        )
        try:
            _fit_whitening(method, sources["train"], out, place)
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
            "whitening": recipe.whitening,
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


def _claim(out: Path, recipe: Recipe, data: TrainingData, place: Place) -> None:
    """Make the run folder, once images and settings are known to be sound."""
    if place.main:
        files.write_json(out / "taxonomy.json", data.manifest.taxonomy.to_json())
        summary = {
            "data": data.manifest.fingerprint,
            # So that the run can be measured from another working folder.
            "data_path": _data_path(recipe.data),
            "attributes_path": _data_path(recipe.attributes or ""),
            "images": {name: len(rows) for name, rows in data.rows.items()},
            "validation_carved": data.carved,
            "command": shlex.join(sys.argv),
            "processes": place.world,
            "precision": place.precision,
            **environment(place.device),
        }
        files.write_json(out / "training.json", summary)
        files.write_json(out / "recipe.json", recipe.model_dump(mode="json"))
    place.wait()


def _data_path(data: str) -> str | None:
    """Where a table or folder lies, whatever the working folder; None for a known set or a manifest in hand."""
    return str(Path(data).resolve()) if data and data not in KNOWN and Path(data).exists() else None


def _stored(out: Path) -> Recipe:
    where = f"{out}/recipe.json"
    return check_options(Recipe.read(files.read_json(out / "recipe.json"), where), where)


def _grows(out: Path, old: dict[str, Any], recipe: Recipe) -> bool:
    """Whether the folder holds a finished run to which the recipe adds stages, such as an ensemble's next member."""
    method = method_class(recipe.method)
    options = [method.Options.model_validate(each) for each in (old["options"], recipe.options)]
    return method.grows(*options) and Checkpoints(out / "checkpoints").finished


def _renew(out: Path, recipe: Recipe, _: TrainingData, place: Place) -> None:
    """Let the folder say what a run that grows will be; until it is, its old bundle does not pass for that."""
    if place.main and _stored(out).options != recipe.options:
        files.remove(out / "bundle" / "bundle.json")
        summary = files.read_json(out / "training.json")
        commands = [summary["command"], shlex.join(sys.argv)]
        files.write_json(out / "training.json", {**summary, "command": " && ".join(commands)})
        files.write_json(out / "recipe.json", recipe.model_dump(mode="json"))
    place.wait()


def _has_begun(out: Path, recipe: Recipe, data: TrainingData, resume: bool, place: Place) -> bool:
    """Whether the folder holds this very run; an error if it holds another, or `resume` was not given."""
    begun = (out / "recipe.json").exists()
    place.wait()  # all processes have looked before one writes
    if not begun:
        return False
    if not resume:
        raise RunError(f"{out} already holds a run; add --resume to go on with it, or give another --out")
    old = _stored(out).model_dump()
    differing = [name for name, value in recipe.model_dump().items() if name not in _FREE and old[name] != value]
    if differing and not (differing == ["options"] and _grows(out, old, recipe)):
        told = "; ".join(f"{name}: {old[name]!r} then, {recipe.model_dump()[name]!r} now" for name in differing)
        raise RunError(
            f"{out} holds a run with other settings ({told}); resume with the old ones, or give another --out"
        )
    before = files.read_json(out / "training.json")
    if before["data"] != data.manifest.fingerprint:
        raise RunError(f"{out}: {data.manifest.source} has changed since the run began; give another --out")
    now = {"processes": place.world, "precision": place.precision, **environment(place.device)}
    changed = [name for name, value in now.items() if before.get(name) != value]
    if "cache" in (old["road"], recipe.road) and old["road"] != recipe.road:
        changed.append("road")  # a crop from the cache is not quite the crop from the file
    if changed:
        _logger.warning("resumed under another %s: the bits may differ from an unbroken run", ", ".join(changed))
    return True


def _preprocessing(recipe: Recipe) -> Preprocessing:
    usual = default_preprocessing(recipe.backbone)
    plain = recipe.whitening != "none"  # whitening takes pixels as they are, in 0..1
    return Preprocessing(
        size=recipe.image_size,
        resize=recipe.resize,
        mean=(0.0, 0.0, 0.0) if plain else recipe.mean or usual.mean,
        std=(1.0, 1.0, 1.0) if plain else recipe.std or usual.std,
        interpolation=usual.interpolation,
    )


def _sources(
    recipe: Recipe, data: TrainingData, preprocessing: Preprocessing, place: Place, frozen: Frozen | None
) -> dict[str, Source]:
    """The training images with augmentation, and those that select without; of a frozen net their feature maps."""
    wanted = {"train", _selecting_split(recipe)}
    rows = {name: rows for name, rows in data.rows.items() if name in wanted and len(rows)}
    if frozen is not None:
        opened = frozen.open(data, np.concatenate(list(rows.values())))  # one bar for all
        starts = np.cumsum([0, *(len(each) for each in rows.values())])
        return {name: opened.part(start, start + len(rows[name])) for name, start in zip(rows, starts, strict=False)}
    return {
        name: open_source(data, each, preprocessing, recipe, place, augmented=name == "train")
        for name, each in rows.items()
    }


def _build(recipe: Recipe, data: TrainingData, place: Place) -> Method:
    task = replace(data.task(), teacher=open_teacher(recipe, data, _preprocessing(recipe), place))
    with seeded(recipe.seed, "weights"):
        method = method_class(recipe.method).build(lambda: _net(recipe), task, _options(recipe))
    for part in method.modules():
        if isinstance(part, Sharded) and place.world > 1:
            part.shard(place.rank, place.world)
    method.to(place.device)
    if recipe.channels_last:
        method.to(memory_format=torch.channels_last)
    if not recipe.frozen:  # its net runs once
        compile_net(method.backbone, recipe, place.device)
    return method


def _net(recipe: Recipe) -> Backbone:
    """The recipe's backbone; what does not come from a file is drawn from torch's random state."""
    backbone = build_backbone(
        recipe.backbone,
        width=recipe.width,
        weights=find_file(recipe.weights, recipe.root) if recipe.weights else None,
        pretrained=recipe.pretrained,
    )
    if recipe.dropout is not None:
        set_dropout(backbone, recipe.dropout)
    return whitened(backbone, recipe.whitening, recipe.image_size)


def _fit_whitening(method: Method, source: Source, out: Path, place: Place) -> None:
    """Fit whitened backbones to the training images, unless a checkpoint holds the fit of every one."""
    if (out / "checkpoints" / "index.json").exists() and not Checkpoints(out / "checkpoints").finished:
        return
    for net in (part for part in method.modules() if isinstance(part, Whitened)):
        net.fit(batch.images for batch in source.sequential(512))
        share_buffers(net, place.world)


def _figures(
    method: Method, data: TrainingData, sources: dict[str, Source], recipe: Recipe, place: Place
) -> dict[str, float]:
    name = _selecting_split(recipe)
    if name not in sources:
        return {}
    said = predict(method, sources[name], place, recipe.batch_size)
    return measure(data, data.rows[name], said, _ks(recipe))


def _selecting_split(recipe: Recipe) -> str:
    return "validation" if recipe.select_on == "last" else recipe.select_on


def _ks(recipe: Recipe) -> tuple[int, ...]:
    """The recipe's k of recall@k, and 1, which selects."""
    return tuple(sorted({1, *recipe.recall_at}))


def selection_metric(recipe: Recipe, data: TrainingData) -> str | None:
    """The metric that picks the epoch, None for the last one.

    Raises:
        RecipeError: the labels of the split do not give it, or it looks at labels finer than the method learns from
            and the recipe does not say so.
    """
    if recipe.select_on == "last":
        return None
    usual = method_class(recipe.method).selects
    if Need.SOME_FINE not in available(data):  # learnt from coarser labels alone, or there is one level
        usual = usual.replace("fine_", "coarse_")
    chosen = recipe.select_by or usual
    rows = data.rows[recipe.select_on]
    known = [*(name for name in floors(data, rows, _ks(recipe)) if not lower_is_better(name)), "effective_rank"]
    if chosen not in known:
        if recipe.select_by is None:
            kind = data.manifest.taxonomy.levels[data.fine if usual.startswith("fine") else data.coarse]
            raise RecipeError(
                f"method {recipe.method!r} chooses its epoch by {chosen}, and none of the {len(rows)} "
                f"{recipe.select_on} images has a {kind} label: label some of them, take them out so that a part of "
                f"the training images selects, choose another figure with select_by ({', '.join(known)}), or keep the "
                "last epoch with select_on = 'last'"
            )
        raise RecipeError(
            f"select_by = {chosen!r} cannot be had from the {recipe.select_on} images{nearest(chosen, known)}; "
            f"their labels give: {', '.join(known)}; or keep the last epoch with select_on = 'last'"
        )
    levels = roles(data)
    looks_at = next((level for role, level in levels.items() if chosen.startswith(f"{role}_")), -1)
    learns_from = data.fine if usual.startswith("fine") else data.coarse
    if looks_at > learns_from and not recipe.fine_selection:
        raise RecipeError(
            f"select_by = {chosen!r} looks at finer labels than method {recipe.method!r} learns from; "
            f"leave it at {usual!r}, or add fine_selection = true, which marks the figures"
        )
    return chosen
